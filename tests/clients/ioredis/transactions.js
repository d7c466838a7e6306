'use strict';
// The part of the life that pipelines and transactions have.

const { these } = require('./entries.js');

const PIPELINE_COMMANDS = 1000;
const SMALLER =
  'ERR The ID specified in XADD is equal or smaller than the target stream top item';
const ARITY = "ERR wrong number of arguments for 'xadd' command";

async function pipeline(life) {
  const { client, checks } = life;
  const key = life.name('pipeline');
  const commands = client.pipeline();
  const expected = [];
  for (let number = 1; number < PIPELINE_COMMANDS; number += 1) {
    commands.xadd(key, `${number}-0`, 'n', number);
    expected.push([null, `${number}-0`]);
  }
  expected.push([null, PIPELINE_COMMANDS - 1]);
  await life.expect('pipeline', commands.xlen(key).exec(), expected);
  const failing = client.pipeline().xadd(key, '1-0', 'n', '0').xlen(key).xdel(key, '1-0');
  const replies = await failing.exec();
  checks.equal('errors within a pipeline', replies.map(shown),
    [SMALLER, PIPELINE_COMMANDS - 1, 1]);
  await life.expect('del', client.del(key), 1);
}

async function transaction(life) {
  const { client, checks } = life;
  const [one, two] = [life.name('transaction-one'), life.name('transaction-two')];
  const commands = client.multi()
    .xadd(one, '1-0', 'n', '1')
    .xadd(two, '1-0', 'n', '1')
    .xgroup('CREATE', one, 'g', '0')
    .xreadgroup('GROUP', 'g', 'alice', 'STREAMS', one, '>')
    // Within a transaction nothing waits.
    .xread('BLOCK', 0, 'STREAMS', two, '$')
    .xack(one, 'g', '1-0')
    .xlen(one);
  const expected = ['1-0', '1-0', 'OK', [[one, these(1)]], null, 1, 1];
  checks.equal('transaction', (await commands.exec()).map(shown), expected);
  const failing = client.multi().xadd(one, '1-0', 'n', '0').xadd(one, '2-0', 'n', '2');
  checks.equal('an error within', (await failing.exec()).map(shown), [SMALLER, '2-0']);
  await life.expect('del', client.del(one, two), 2);
}

async function watch(life) {
  const { client } = life;
  const key = await life.stream('watch', 1);
  await life.expect('watch', client.watch(key), 'OK');
  await life.expect('another', life.other.xadd(key, '2-0', 'by', 'another'), '2-0');
  const refused = client.multi().xadd(key, '3-0', 'by', 'this').exec();
  await life.expect('a watched stream changed', refused, null);
  await life.expect('xlen', client.xlen(key), 2);
  await life.expect('watch', client.watch(key), 'OK');
  const taken = client.multi().xadd(key, '3-0', 'by', 'this').exec();
  await life.expect('nothing changed', taken, [[null, '3-0']]);
  await life.expect('watch', client.watch(key), 'OK');
  await life.expect('another', life.other.xadd(key, '4-0', 'by', 'another'), '4-0');
  await life.expect('unwatch', client.unwatch(), 'OK');
  const again = client.multi().xadd(key, '5-0', 'by', 'this').exec();
  await life.expect('no longer watched', again, [[null, '5-0']]);
  await life.expect('del', client.del(key), 1);
}

async function abort(life) {
  const { client } = life;
  const key = await life.stream('abort', 1);
  const commands = client.multi().xadd(key, '2-0', 'n', '2').xadd(key);
  await life.refuse('exec', commands.exec(),
    'EXECABORT Transaction discarded because of previous errors.');
  await life.expect('multi', client.multi({ pipeline: false }), 'OK');
  await life.expect('queued', client.xlen(key), 'QUEUED');
  await life.refuse('refused', client.xadd(key), ARITY);
  await life.refuse('exec', client.exec(),
    'EXECABORT Transaction discarded because of previous errors.');
  await life.expect('multi', client.multi({ pipeline: false }), 'OK');
  await life.expect('queued', client.xadd(key, '2-0', 'n', '2'), 'QUEUED');
  await life.expect('discard', client.discard(), 'OK');
  await life.refuse('exec', client.call('EXEC'), 'ERR EXEC without MULTI');
  await life.expect('xlen', client.xlen(key), 1);
  await life.expect('del', client.del(key), 1);
}

// The reply to one command among several, or the text of its error.
function shown([error, reply]) {
  return error ? error.message : reply;
}

module.exports = [pipeline, transaction, watch, abort];
