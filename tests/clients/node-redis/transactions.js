'use strict';
// The part of the life that pipelines and transactions have.

const { these } = require('./entries.js');

const PIPELINE_COMMANDS = 1000;
const SMALLER =
  'ERR The ID specified in XADD is equal or smaller than the target stream top item';
const ARITY = "ERR wrong number of arguments for 'xadd' command";
const CHANGED = 'One (or more) of the watched keys has been changed';

async function pipeline(life) {
  const { client } = life;
  const key = life.name('pipeline');
  const commands = client.multi();
  const expected = [];
  for (let number = 1; number < PIPELINE_COMMANDS; number += 1) {
    commands.xAdd(key, `${number}-0`, { n: `${number}` });
    expected.push(`${number}-0`);
  }
  expected.push(PIPELINE_COMMANDS - 1);
  await life.expect('pipeline', commands.xLen(key).execAsPipeline(), expected);
  // What is called in one turn of the loop goes out in one packet, too.
  const refused = client.xAdd(key, '1-0', { n: '0' });
  const length = client.xLen(key);
  const deleted = client.xDel(key, '1-0');
  await life.refuse('one of three', refused, SMALLER);
  await life.expect('two of three', Promise.all([length, deleted]), [PIPELINE_COMMANDS - 1, 1]);
  await life.expect('del', client.del(key), 1);
}

async function transaction(life) {
  const { client, checks } = life;
  const [one, two] = [life.name('transaction-one'), life.name('transaction-two')];
  const commands = client.multi()
    .xAdd(one, '1-0', { n: '1' })
    .xAdd(two, '1-0', { n: '1' })
    .xGroupCreate(one, 'g', '0')
    .xReadGroup('g', 'alice', { key: one, id: '>' })
    // Within a transaction nothing waits.
    .xRead({ key: two, id: '$' }, { BLOCK: 0 })
    .xAck(one, 'g', '1-0')
    .xLen(one);
  const expected = ['1-0', '1-0', 'OK', life.streams([one, these(1)]), null, 1, 1];
  await life.expect('transaction', commands.exec(), expected);
  const failing = client.multi()
    .xAdd(one, '1-0', { n: '0' })
    .xAdd(one, '2-0', { n: '2' })
    .exec();
  const error = await failing.catch((reason) => reason);
  const replies = error.replies.map((reply) => (reply instanceof Error ? reply.message : reply));
  checks.equal('an error within', replies, [SMALLER, '2-0']);
  await life.expect('del', client.del([one, two]), 2);
}

async function watch(life) {
  const { client } = life;
  const key = await life.stream('watch', 1);
  await life.expect('watch', client.watch(key), 'OK');
  await life.expect('another', life.other.xAdd(key, '2-0', { by: 'another' }), '2-0');
  const refused = client.multi().xAdd(key, '3-0', { by: 'this' }).exec();
  await life.refuse('a watched stream changed', refused, CHANGED);
  await life.expect('xLen', client.xLen(key), 2);
  await life.expect('watch', client.watch(key), 'OK');
  const taken = client.multi().xAdd(key, '3-0', { by: 'this' }).exec();
  await life.expect('nothing changed', taken, ['3-0']);
  await life.expect('watch', client.watch(key), 'OK');
  await life.expect('another', life.other.xAdd(key, '4-0', { by: 'another' }), '4-0');
  await life.expect('unwatch', client.unwatch(), 'OK');
  const again = client.multi().xAdd(key, '5-0', { by: 'this' }).exec();
  await life.expect('no longer watched', again, ['5-0']);
  await life.expect('del', client.del(key), 1);
}

async function abort(life) {
  const { client } = life;
  const key = await life.stream('abort', 1);
  const commands = client.multi().xAdd(key, '2-0', { n: '2' }).addCommand(['XADD', key]);
  // node-redis tells of the first command that was refused instead of EXECABORT.
  await life.refuse('exec', commands.exec(), ARITY);
  const send = (...words) => client.sendCommand(words);
  await life.expect('multi', send('MULTI'), 'OK');
  await life.expect('queued', send('XLEN', key), 'QUEUED');
  await life.refuse('refused', send('XADD', key), ARITY);
  await life.refuse('exec', send('EXEC'),
    'EXECABORT Transaction discarded because of previous errors.');
  await life.expect('multi', send('MULTI'), 'OK');
  await life.expect('queued', send('XADD', key, '2-0', 'n', '2'), 'QUEUED');
  await life.expect('discard', send('DISCARD'), 'OK');
  await life.refuse('exec', send('EXEC'), 'ERR EXEC without MULTI');
  await life.expect('xLen', client.xLen(key), 1);
  await life.expect('del', client.del(key), 1);
}

module.exports = [pipeline, transaction, watch, abort];
