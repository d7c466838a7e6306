'use strict';
// The part of the life that needs no group: adding, reading, trimming, values, names, keys.

const { RESP_TYPES } = require('redis');
const { entries, these } = require('./entries.js');

const DEADLINE_MILLISECONDS = 30_000;
const TIMEOUT_MILLISECONDS = 60;
const VALUE_BYTES = 5 * 1024 * 1024;
const SMALLER =
  'ERR The ID specified in XADD is equal or smaller than the target stream top item';

async function add(life) {
  const { client, checks } = life;
  const key = life.name('add');
  await life.expect('xAdd', client.xAdd(key, '1-1', { kind: 'created' }), '1-1');
  await life.expect('xAdd', client.xAdd(key, '1-2', { b: '1', a: '2' }), '1-2');
  await life.expect('xAdd', client.xAdd(key, '2-*', { n: '3' }), '2-0');
  const before = Date.now();
  const made = await client.xAdd(key, '*', { n: '4' });
  const [milliseconds, number] = made.split('-');
  const near = Math.abs(Number(milliseconds) - before) < DEADLINE_MILLISECONDS;
  checks.holds('an id of the clock', made, `about ${before}-0`, near && number === '0');
  await life.expect('xLen', client.xLen(key), 4);
  const missing = life.name('missing');
  await life.expect('no stream', client.xAddNoMkStream(missing, '*', { a: '1' }), null);
  await life.expect('xLen', client.xLen(missing), 0);
  await life.expect('del', client.del(key), 1);
}

async function trimWhileAdding(life) {
  const { client } = life;
  const key = life.name('trimmed');
  const adding = (number, TRIM) =>
    client.xAdd(key, `${number}-0`, { n: `${number}` }, { TRIM });
  const exactly = { strategy: 'MAXLEN', strategyModifier: '=', threshold: 2 };
  for (const number of [1, 2, 3]) {
    await life.expect('maxlen', adding(number, exactly), `${number}-0`);
  }
  await life.expect('xRange', client.xRange(key, '-', '+'), these(2, 3));
  await life.expect('minid', adding(4, { strategy: 'MINID', threshold: 3 }), '4-0');
  await life.expect('xRange', client.xRange(key, '-', '+'), these(3, 4));
  // Fewer entries than a node holds: nothing may be dropped.
  const about = { strategy: 'MAXLEN', strategyModifier: '~', threshold: 1000 };
  await life.expect('about', adding(5, about), '5-0');
  await life.expect('xLen', client.xLen(key), 3);
  await life.expect('del', client.del(key), 1);
}

async function ranges(life) {
  const { client } = life;
  const key = await life.stream('range', 5);
  await life.expect('all', client.xRange(key, '-', '+'), entries(1, 5));
  await life.expect('count', client.xRange(key, '-', '+', { COUNT: 2 }), entries(1, 2));
  await life.expect('part', client.xRange(key, '2', '4'), entries(2, 4));
  await life.expect('exclusive', client.xRange(key, '(2-0', '(4-0'), entries(3, 3));
  await life.expect('behind', client.xRange(key, '6', '+'), []);
  await life.expect('back', client.xRevRange(key, '+', '-'), these(5, 4, 3, 2, 1));
  await life.expect('count', client.xRevRange(key, '+', '-', { COUNT: 2 }), these(5, 4));
  await life.expect('exclusive', client.xRevRange(key, '(4-0', '(2-0'), these(3));
  await life.expect('missing', client.xRange(life.name('missing'), '-', '+'), []);
  await life.expect('del', client.del(key), 1);
}

async function read(life) {
  const { client } = life;
  const one = await life.stream('read-one', 3);
  const two = await life.stream('read-two', 2);
  const from = (first, second) => [{ key: one, id: first }, { key: two, id: second }];
  const both = life.streams([one, entries(1, 3)], [two, entries(1, 2)]);
  await life.expect('both', client.xRead(from('0', '0')), both);
  const first = life.streams([one, entries(2, 2)], [two, entries(1, 1)]);
  await life.expect('count', client.xRead(from('1-0', '0'), { COUNT: 1 }), first);
  const rest = life.streams([two, entries(2, 2)]);
  await life.expect('one of two', client.xRead(from('3-0', '1-0')), rest);
  await life.expect('nothing', client.xRead(from('$', '2-0')), null);
  await life.expect('missing', client.xRead({ key: life.name('missing'), id: '0' }), null);
  await life.expect('del', client.del([one, two]), 2);
}

async function timeOut(life) {
  const { client, checks } = life;
  const key = await life.stream('time-out', 1);
  const begun = performance.now();
  const reading = client.xRead({ key, id: '$' }, { BLOCK: TIMEOUT_MILLISECONDS });
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
  const reader = await life.connect();
  let woken = false;
  let waiting = reader.xRead({ key, id: '$' }, { BLOCK: DEADLINE_MILLISECONDS });
  waiting.then(() => { woken = true; });
  const added = [];
  // Nobody can see when the read has begun: events are added until it has one.
  while (!woken) {
    const message = { n: `${added.length}` };
    added.push({ id: await other.xAdd(key, '*', message), message });
  }
  const reply = JSON.stringify(await waiting);
  const choices = added.map((entry) => JSON.stringify(life.streams([key, [entry]])));
  checks.holds('the read woke for one entry', reply, choices, choices.includes(reply));
  waiting = reader.xRead({ key, id: added[added.length - 1].id }, { BLOCK: 0 });
  const id = await other.xAdd(key, '*', { last: 'one' });
  const last = life.streams([key, [{ id, message: { last: 'one' } }]]);
  await life.expect('the read has the entry', waiting, last);
  reader.destroy();
  await life.expect('del', other.del(key), 1);
}

async function trimAndDelete(life) {
  const { client } = life;
  const key = await life.stream('trim', 6);
  await life.expect('xTrim', client.xTrim(key, 'MAXLEN', 4), 2);
  await life.expect('xTrim', client.xTrim(key, 'MINID', '4', { strategyModifier: '=' }), 1);
  await life.expect('xTrim', client.xTrim(key, 'MAXLEN', 100, { strategyModifier: '~' }), 0);
  await life.expect('xDel', client.xDel(key, ['5-0', '9-9']), 1);
  await life.expect('xRange', client.xRange(key, '-', '+'), these(4, 6));
  await life.expect('xTrim', client.xTrim(key, 'MAXLEN', 0), 2);
  await life.expect('exists', client.exists(key), 1);
  // The last id outlives the entries.
  await life.expect('xAdd', client.xAdd(key, '6-*', { n: '7' }), '6-1');
  await life.expect('del', client.del(key), 1);
}

async function moveOn(life) {
  const { client } = life;
  const key = await life.stream('set-id', 1);
  await life.expect('xSetId', client.xSetId(key, '50-3'), 'OK');
  await life.expect('xAdd', client.xAdd(key, '50-*', { n: '2' }), '50-4');
  const more = client.xSetId(key, '60-0', { ENTRIESADDED: 9, MAXDELETEDID: '7-0' });
  await life.expect('xSetId', more, 'OK');
  const stream = await client.xInfoStream(key);
  const found = [stream['last-generated-id'], stream['entries-added'],
    stream['max-deleted-entry-id']];
  life.checks.equal('set', found, ['60-0', 9, '7-0']);
  const smaller = 'ERR The ID specified in XSETID is smaller than the target stream top item';
  await life.refuse('xSetId', client.xSetId(key, '8-0'), smaller);
  await life.expect('del', client.del(key), 1);
}

async function largeValue(life) {
  const { client } = life;
  const key = life.name('large');
  const value = '0123456789abcdef'.repeat(VALUE_BYTES / 16);
  await life.expect('xAdd', client.xAdd(key, '1-0', { value }), '1-0');
  const expected = [{ id: '1-0', message: { value } }];
  await life.expect('xRange', client.xRange(key, '-', '+'), expected);
  await life.expect('xRead', client.xRead({ key, id: '0' }), life.streams([key, expected]));
  await life.expect('del', client.del(key), 1);
}

async function allBytes(life) {
  const client = life.client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const key = Buffer.concat([Buffer.from(life.name('bytes')), value]);
  const id = Buffer.from('1-0');
  await life.expect('xAdd', client.xAdd(key, '1-0', { value }), id);
  await life.expect('xRange', client.xRange(key, '-', '+'), [{ id, message: { value } }]);
  await life.expect('keys', client.keys(`${life.name('bytes')}*`), [key]);
  await life.expect('del', client.del(key), 1);
}

async function names(life) {
  const { client } = life;
  for (const word of ['orders:42', 'two words', 'ключ-é-流-🙂', '"quoted"', '{braces}']) {
    const key = life.name(word);
    const group = `group ${word}`;
    const message = { [`field ${word}`]: word };
    await life.expect('xAdd', client.xAdd(key, '1-0', message), '1-0');
    await life.expect('create', client.xGroupCreate(key, group, '0'), 'OK');
    const reading = client.xReadGroup(group, `of ${word}`, { key, id: '>' });
    await life.expect(word, reading, life.streams([key, [{ id: '1-0', message }]]));
    const [{ consumer }] = await client.xPendingRange(key, group, '-', '+', 1);
    life.checks.equal('consumer', consumer, `of ${word}`);
    await life.expect('del', client.del(key), 1);
  }
}

async function errors(life) {
  const { client } = life;
  const key = await life.stream('errors', 2);
  const send = (...words) => client.sendCommand(words);
  const arity = "ERR wrong number of arguments for 'xadd' command";
  await life.refuse('no id', send('XADD', key), arity);
  await life.refuse('no value', send('XADD', key, '*', 'field'), arity);
  await life.refuse('smaller', client.xAdd(key, '2-0', { a: '1' }), SMALLER);
  const invalid = 'ERR Invalid stream ID specified as stream command argument';
  await life.refuse('no id', client.xAdd(key, 'nonsense', { a: '1' }), invalid);
  await life.refuse('no id', client.xRange(key, 'nonsense', '+'), invalid);
  const zero = 'ERR The ID specified in XADD must be greater than 0-0';
  await life.refuse('zero', client.xAdd(key, '0-0', { a: '1' }), zero);
  const range = 'ERR value is not an integer or out of range';
  await life.refuse('count', send('XRANGE', key, '-', '+', 'COUNT', 'many'), range);
  await life.refuse('syntax', send('XREAD', 'NONSENSE', key, '0'), 'ERR syntax error');
  await life.refuse('missing', client.xInfoStream(life.name('missing')), 'ERR no such key');
  await life.refuse('subcommand', send('XINFO', 'NONSENSE', key),
    "ERR unknown subcommand 'NONSENSE'. Try XINFO HELP.");
  await life.refuse('command', send('NONSENSE', 'a'),
    "ERR unknown command 'NONSENSE', with args beginning with: 'a' ");
  await life.expect('xLen', client.xLen(key), 2);
  await life.expect('del', client.del(key), 1);
}

async function keys(life) {
  const { client, checks } = life;
  const one = await life.stream('keys:one', 1);
  const two = await life.stream('keys:two', 1);
  const three = life.name('keys:three');
  const MATCH = life.name('keys:*');
  await life.expect('exists', client.exists([one, two, three, one]), 3);
  await life.expect('type', client.type(one), 'stream');
  await life.expect('type', client.type(three), 'none');
  checks.equal('keys', (await client.keys(MATCH)).sort(), [one, two]);
  for (const COUNT of [1, 100]) {
    checks.equal('scan', await scan(client, { MATCH, COUNT, TYPE: 'stream' }), [one, two]);
  }
  checks.equal('scan for hashes', await scan(client, { MATCH, TYPE: 'hash' }), []);
  await life.expect('ttl', client.ttl(one), -1);
  await life.expect('ttl', client.ttl(three), -2);
  await life.expect('rename', client.rename(one, three), 'OK');
  await life.expect('exists', client.exists(one), 0);
  await life.expect('xRange', client.xRange(three, '-', '+'), entries(1, 1));
  await life.refuse('rename', client.rename(one, two), 'ERR no such key');
  await life.expect('rename', client.rename(three, two), 'OK');
  await life.expect('keys', client.keys(MATCH), [two]);
  await life.expect('del', client.del([one, two]), 1);
}

async function scan(client, options) {
  const found = [];
  for await (const page of client.scanIterator(options)) {
    found.push(...page);
  }
  return found.sort();
}

module.exports = [add, trimWhileAdding, ranges, read, timeOut, wake, trimAndDelete, moveOn,
  largeValue, allBytes, names, errors, keys];
