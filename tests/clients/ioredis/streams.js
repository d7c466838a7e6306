'use strict';
// The part of the life that needs no group: adding, reading, trimming, values, names, keys.

const { entries, pairs, these } = require('./entries.js');

const DEADLINE_MILLISECONDS = 30_000;
const TIMEOUT_MILLISECONDS = 60;
const VALUE_BYTES = 5 * 1024 * 1024;
const SMALLER =
  'ERR The ID specified in XADD is equal or smaller than the target stream top item';

async function add(life) {
  const { client, checks } = life;
  const key = life.name('add');
  await life.expect('xadd', client.xadd(key, '1-1', 'kind', 'created'), '1-1');
  await life.expect('xadd', client.xadd(key, '1-2', 'b', '1', 'a', '2', 'b', '3'), '1-2');
  await life.expect('xadd', client.xadd(key, '2-*', 'n', '3'), '2-0');
  const before = Date.now();
  const made = await client.xadd(key, '*', 'n', '4');
  const [milliseconds, number] = made.split('-');
  const near = Math.abs(Number(milliseconds) - before) < DEADLINE_MILLISECONDS;
  checks.holds('an id of the clock', made, `about ${before}-0`, near && number === '0');
  await life.expect('xlen', client.xlen(key), 4);
  // A field may stand twice, and the order stays.
  const twice = [['1-2', ['b', '1', 'a', '2', 'b', '3']]];
  await life.expect('xrange', client.xrange(key, '1-2', '1-2'), twice);
  const missing = life.name('missing');
  await life.expect('nomkstream', client.xadd(missing, 'NOMKSTREAM', '*', 'a', '1'), null);
  await life.expect('xlen', client.xlen(missing), 0);
  await life.expect('del', client.del(key), 1);
}

async function trimWhileAdding(life) {
  const { client } = life;
  const key = life.name('trimmed');
  for (const id of ['1-0', '2-0', '3-0']) {
    await life.expect('maxlen', client.xadd(key, 'MAXLEN', '=', 2, id, 'n', id[0]), id);
  }
  await life.expect('xrange', client.xrange(key, '-', '+'), these(2, 3));
  await life.expect('minid', client.xadd(key, 'MINID', '3', '4-0', 'n', '4'), '4-0');
  await life.expect('xrange', client.xrange(key, '-', '+'), these(3, 4));
  // Fewer entries than a node holds: nothing may be dropped.
  await life.expect('about', client.xadd(key, 'MAXLEN', '~', 1000, '5-0', 'n', '5'), '5-0');
  await life.expect('xlen', client.xlen(key), 3);
  await life.expect('del', client.del(key), 1);
}

async function ranges(life) {
  const { client } = life;
  const key = await life.stream('range', 5);
  await life.expect('all', client.xrange(key, '-', '+'), entries(1, 5));
  await life.expect('count', client.xrange(key, '-', '+', 'COUNT', 2), entries(1, 2));
  await life.expect('part', client.xrange(key, '2', '4'), entries(2, 4));
  await life.expect('exclusive', client.xrange(key, '(2-0', '(4-0'), entries(3, 3));
  await life.expect('behind', client.xrange(key, '6', '+'), []);
  await life.expect('back', client.xrevrange(key, '+', '-'), these(5, 4, 3, 2, 1));
  await life.expect('count', client.xrevrange(key, '+', '-', 'COUNT', 2), these(5, 4));
  await life.expect('exclusive', client.xrevrange(key, '(4-0', '(2-0'), these(3));
  await life.expect('missing', client.xrange(life.name('missing'), '-', '+'), []);
  await life.expect('del', client.del(key), 1);
}

async function read(life) {
  const { client } = life;
  const one = await life.stream('read-one', 3);
  const two = await life.stream('read-two', 2);
  const both = [[one, entries(1, 3)], [two, entries(1, 2)]];
  await life.expect('both', client.xread('STREAMS', one, two, '0', '0'), both);
  const first = [[one, entries(2, 2)], [two, entries(1, 1)]];
  const counted = client.xread('COUNT', 1, 'STREAMS', one, two, '1-0', '0');
  await life.expect('count', counted, first);
  const rest = client.xread('STREAMS', one, two, '3-0', '1-0');
  await life.expect('one of two', rest, [[two, entries(2, 2)]]);
  await life.expect('nothing', client.xread('STREAMS', one, two, '$', '2-0'), null);
  await life.expect('missing', client.xread('STREAMS', life.name('missing'), '0'), null);
  await life.expect('del', client.del(one, two), 2);
}

async function timeOut(life) {
  const { client, checks } = life;
  const key = await life.stream('time-out', 1);
  const begun = performance.now();
  const reading = client.xread('BLOCK', TIMEOUT_MILLISECONDS, 'STREAMS', key, '$');
  await life.expect('time out', reading, null);
  const passed = performance.now() - begun;
  const enough = passed >= TIMEOUT_MILLISECONDS - 1 && passed < DEADLINE_MILLISECONDS;
  checks.holds('a blocked read waits', passed, `${TIMEOUT_MILLISECONDS} ms`, enough);
  await life.expect('del', client.del(key), 1);
}

// A blocked read gets what another connection adds, and nothing from before it.
async function wake(life) {
  const { checks, other } = life;
  const key = await life.stream('wake', 1);
  const reader = life.connect();
  let woken = false;
  let waiting = reader.xread('BLOCK', DEADLINE_MILLISECONDS, 'STREAMS', key, '$');
  waiting.then(() => { woken = true; });
  const added = [];
  // Nobody can see when the read has begun: events are added until it has one.
  while (!woken) {
    const number = `${added.length}`;
    added.push([await other.xadd(key, '*', 'n', number), ['n', number]]);
  }
  const reply = JSON.stringify(await waiting);
  const choices = added.map((entry) => JSON.stringify([[key, [entry]]]));
  checks.holds('the read woke for one entry', reply, choices, choices.includes(reply));
  const [last] = added[added.length - 1];
  waiting = reader.xread('BLOCK', 0, 'STREAMS', key, last);
  const id = await other.xadd(key, '*', 'last', 'one');
  await life.expect('the read has the entry', waiting, [[key, [[id, ['last', 'one']]]]]);
  reader.disconnect();
  await life.expect('del', other.del(key), 1);
}

async function trimAndDelete(life) {
  const { client } = life;
  const key = await life.stream('trim', 6);
  await life.expect('xtrim', client.xtrim(key, 'MAXLEN', 4), 2);
  await life.expect('xtrim', client.xtrim(key, 'MINID', '=', '4'), 1);
  await life.expect('xtrim', client.xtrim(key, 'MAXLEN', '~', 100), 0);
  await life.expect('xdel', client.xdel(key, '5-0', '9-9'), 1);
  await life.expect('xrange', client.xrange(key, '-', '+'), these(4, 6));
  await life.expect('xtrim', client.xtrim(key, 'MAXLEN', 0), 2);
  await life.expect('exists', client.exists(key), 1);
  // The last id outlives the entries.
  await life.expect('xadd', client.xadd(key, '6-*', 'n', '7'), '6-1');
  await life.expect('del', client.del(key), 1);
}

async function moveOn(life) {
  const { client } = life;
  const key = await life.stream('set-id', 1);
  await life.expect('xsetid', client.xsetid(key, '50-3'), 'OK');
  await life.expect('xadd', client.xadd(key, '50-*', 'n', '2'), '50-4');
  const more = client.call('XSETID', key, '60-0', 'ENTRIESADDED', 9, 'MAXDELETEDID', '7-0');
  await life.expect('xsetid', more, 'OK');
  const stream = pairs(await client.xinfo('STREAM', key));
  const found = [stream['last-generated-id'], stream['entries-added'],
    stream['max-deleted-entry-id']];
  life.checks.equal('set', found, ['60-0', 9, '7-0']);
  const smaller = 'ERR The ID specified in XSETID is smaller than the target stream top item';
  await life.refuse('xsetid', client.xsetid(key, '8-0'), smaller);
  await life.expect('del', client.del(key), 1);
}

async function largeValue(life) {
  const { client } = life;
  const key = life.name('large');
  const value = '0123456789abcdef'.repeat(VALUE_BYTES / 16);
  await life.expect('xadd', client.xadd(key, '1-0', 'value', value), '1-0');
  const expected = [['1-0', ['value', value]]];
  await life.expect('xrange', client.xrange(key, '-', '+'), expected);
  await life.expect('xread', client.xread('STREAMS', key, '0'), [[key, expected]]);
  await life.expect('del', client.del(key), 1);
}

async function allBytes(life) {
  const { client } = life;
  const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const key = Buffer.concat([Buffer.from(life.name('bytes')), value]);
  await life.expect('xadd', client.xadd(key, '1-0', value, value), '1-0');
  const expected = [[Buffer.from('1-0'), [value, value]]];
  await life.expect('xrange', client.xrangeBuffer(key, '-', '+'), expected);
  await life.expect('keys', client.keysBuffer(`${life.name('bytes')}*`), [key]);
  await life.expect('del', client.del(key), 1);
}

async function names(life) {
  const { client } = life;
  for (const word of ['orders:42', 'two words', 'ключ-é-流-🙂', '"quoted"', '{braces}']) {
    const key = life.name(word);
    const group = `group ${word}`;
    await life.expect('xadd', client.xadd(key, '1-0', `field ${word}`, word), '1-0');
    await life.expect('create', client.xgroup('CREATE', key, group, '0'), 'OK');
    const reading = client.xreadgroup('GROUP', group, `of ${word}`, 'STREAMS', key, '>');
    await life.expect(word, reading, [[key, [['1-0', [`field ${word}`, word]]]]]);
    const [[, consumer]] = await client.xpending(key, group, '-', '+', 1);
    life.checks.equal('consumer', consumer, `of ${word}`);
    await life.expect('del', client.del(key), 1);
  }
}

async function errors(life) {
  const { client } = life;
  const key = await life.stream('errors', 2);
  const arity = "ERR wrong number of arguments for 'xadd' command";
  await life.refuse('no id', client.xadd(key), arity);
  await life.refuse('no value', client.xadd(key, '*', 'field'), arity);
  await life.refuse('smaller', client.xadd(key, '2-0', 'a', '1'), SMALLER);
  const invalid = 'ERR Invalid stream ID specified as stream command argument';
  await life.refuse('no id', client.xadd(key, 'nonsense', 'a', '1'), invalid);
  await life.refuse('no id', client.xrange(key, 'nonsense', '+'), invalid);
  const zero = 'ERR The ID specified in XADD must be greater than 0-0';
  await life.refuse('zero', client.xadd(key, '0-0', 'a', '1'), zero);
  const range = 'ERR value is not an integer or out of range';
  await life.refuse('count', client.xrange(key, '-', '+', 'COUNT', 'many'), range);
  await life.refuse('syntax', client.xread('NONSENSE', key, '0'), 'ERR syntax error');
  await life.refuse('missing', client.xinfo('STREAM', life.name('missing')), 'ERR no such key');
  await life.refuse('subcommand', client.xinfo('NONSENSE', key),
    "ERR unknown subcommand 'NONSENSE'. Try XINFO HELP.");
  await life.refuse('command', client.call('NONSENSE', 'a'),
    "ERR unknown command 'NONSENSE', with args beginning with: 'a' ");
  await life.expect('xlen', client.xlen(key), 2);
  await life.expect('del', client.del(key), 1);
}

async function keys(life) {
  const { client, checks } = life;
  const one = await life.stream('keys:one', 1);
  const two = await life.stream('keys:two', 1);
  const three = life.name('keys:three');
  const match = life.name('keys:*');
  await life.expect('exists', client.exists(one, two, three, one), 3);
  await life.expect('type', client.type(one), 'stream');
  await life.expect('type', client.type(three), 'none');
  checks.equal('keys', (await client.keys(match)).sort(), [one, two]);
  for (const count of [1, 100]) {
    checks.equal('scan', (await scan(client, { match, count, type: 'stream' })), [one, two]);
  }
  checks.equal('scan for hashes', await scan(client, { match, type: 'hash' }), []);
  await life.expect('ttl', client.ttl(one), -1);
  await life.expect('ttl', client.ttl(three), -2);
  await life.expect('rename', client.rename(one, three), 'OK');
  await life.expect('exists', client.exists(one), 0);
  await life.expect('xrange', client.xrange(three, '-', '+'), entries(1, 1));
  await life.refuse('rename', client.rename(one, two), 'ERR no such key');
  await life.expect('rename', client.rename(three, two), 'OK');
  await life.expect('keys', client.keys(match), [two]);
  await life.expect('del', client.del(one, two), 1);
}

async function scan(client, options) {
  const found = [];
  for await (const page of client.scanStream(options)) {
    found.push(...page);
  }
  return found.sort();
}

module.exports = [add, trimWhileAdding, ranges, read, timeOut, wake, trimAndDelete, moveOn,
  largeValue, allBytes, names, errors, keys];
