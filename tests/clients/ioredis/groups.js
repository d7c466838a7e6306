'use strict';
// The part of the life that consumer groups have.

const { only } = require('../checks.js');
const { entries, pairs, these } = require('./entries.js');

const IDLE_MILLISECONDS_MAX = 60_000;
const HOUR_MILLISECONDS = 3_600_000;

async function group(life) {
  const { client } = life;
  const key = life.name('group');
  await life.expect('create', client.xgroup('CREATE', key, 'g', '$', 'MKSTREAM'), 'OK');
  await life.refuse('busy', client.xgroup('CREATE', key, 'g', '$'),
    'BUSYGROUP Consumer Group name already exists');
  await life.refuse('missing', client.xgroup('CREATE', life.name('missing'), 'g', '$'),
    'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to '
      + 'use the MKSTREAM option to create an empty stream automatically.');
  await life.expect('xlen', client.xlen(key), 0);
  await life.expect('type', client.type(key), 'stream');
  const reader = life.connect();
  const waiting = reader.xreadgroup('GROUP', 'g', 'alice', 'BLOCK', 30_000, 'STREAMS', key, '>');
  await life.expect('xadd', life.other.xadd(key, '1-0', 'n', '1'), '1-0');
  await life.expect("the group's read", waiting, [[key, these(1)]]);
  reader.disconnect();
  for (const number of [2, 3, 4, 5]) {
    await life.expect('xadd', client.xadd(key, `${number}-0`, 'n', number), `${number}-0`);
  }
  const read = (consumer, from, ...options) =>
    client.xreadgroup('GROUP', 'g', consumer, ...options, 'STREAMS', key, from);
  await life.expect('count', read('alice', '>', 'COUNT', 2), [[key, these(2, 3)]]);
  await life.expect('count', read('bob', '>', 'COUNT', 1), [[key, these(4)]]);
  await life.expect('noack', read('bob', '>', 'NOACK'), [[key, these(5)]]);
  await life.expect('time out', read('bob', '>', 'BLOCK', 20), null);
  await life.expect('history', read('alice', '0'), [[key, these(1, 2, 3)]]);
  await life.expect('history', read('alice', '1-0', 'COUNT', 1), [[key, these(2)]]);
  await life.expect('no history', read('carol', '0'), [[key, []]]);
  const nobody = client.xreadgroup('GROUP', 'nobody', 'alice', 'STREAMS', key, '>');
  await life.refuse('no group', nobody,
    `NOGROUP No such key '${key}' or consumer group 'nobody' in XREADGROUP with GROUP option`);
  await life.expect('del', client.del(key), 1);
}

async function pending(life) {
  const { client } = life;
  const key = await delivered(life, 'pending');
  const summary = [4, '1-0', '4-0', [['alice', '3'], ['bob', '1']]];
  await life.expect('summary', client.xpending(key, 'g'), summary);
  const all = [['1-0', 'alice', 1], ['2-0', 'alice', 1], ['3-0', 'alice', 1], ['4-0', 'bob', 1]];
  await details(life, all, key, '-', '+', 10);
  await details(life, all.slice(1, 2), key, '(1-0', '+', 1);
  await details(life, all.slice(3), key, '-', '+', 10, 'bob');
  await details(life, [], key, 'IDLE', HOUR_MILLISECONDS, '-', '+', 10);
  await life.expect('xack', client.xack(key, 'g', '1-0', '4-0', '9-9'), 2);
  await life.expect('xack', client.xack(key, 'nobody', '2-0'), 0);
  await life.expect('summary', client.xpending(key, 'g'), [2, '2-0', '3-0', [['alice', '2']]]);
  await life.expect('xack', client.xack(key, 'g', '2-0', '3-0'), 2);
  await life.expect('summary', client.xpending(key, 'g'), [0, null, null, null]);
  await life.refuse('no group', client.xpending(key, 'nobody'),
    `NOGROUP No such key '${key}' or consumer group 'nobody'`);
  await life.expect('del', client.del(key), 1);
}

async function claim(life) {
  const { client } = life;
  const key = await delivered(life, 'claim');
  const take = (consumer, idle, ...rest) => client.xclaim(key, 'g', consumer, idle, ...rest);
  await life.expect('too early', take('bob', HOUR_MILLISECONDS, '1-0'), []);
  await life.expect('claim', take('bob', 0, '1-0', '9-9'), these(1));
  await life.expect('justid', take('bob', 0, '1-0', 'JUSTID'), ['1-0']);
  await details(life, [['1-0', 'bob', 2]], key, '1-0', '1-0', 1);
  const options = ['IDLE', HOUR_MILLISECONDS, 'RETRYCOUNT', 7];
  await life.expect('options', take('bob', 0, '2-0', ...options), these(2));
  await details(life, [['2-0', 'bob', 7]], key, 'IDLE', HOUR_MILLISECONDS, '-', '+', 9);
  await life.expect('force', take('carol', 0, '5-0', 'FORCE'), these(5));
  // Made by force it counts as delivered, and then as claimed.
  await details(life, [['5-0', 'carol', 2]], key, '5-0', '+', 1);
  await life.expect('xdel', client.xdel(key, '3-0'), 1);
  const some = client.xautoclaim(key, 'g', 'dave', 0, '0-0', 'COUNT', 2);
  await life.expect('autoclaim', some, ['3-0', these(1, 2), []]);
  const rest = client.xautoclaim(key, 'g', 'dave', 0, '3-0');
  await life.expect('autoclaim', rest, ['0-0', these(4, 5), ['3-0']]);
  const ids = client.xautoclaim(key, 'g', 'bob', 0, '0', 'JUSTID');
  await life.expect('justid', ids, ['0-0', ['1-0', '2-0', '4-0', '5-0'], []]);
  const early = client.xautoclaim(key, 'g', 'bob', HOUR_MILLISECONDS, '0');
  await life.expect('too early', early, ['0-0', [], []]);
  const all = [['1-0', 'bob', 3], ['2-0', 'bob', 8], ['4-0', 'bob', 2], ['5-0', 'bob', 3]];
  await details(life, all, key, '-', '+', 9);
  // An entry that is gone stays pending until somebody acknowledges or claims it.
  await life.expect('xdel', client.xdel(key, '4-0'), 1);
  const history = client.xreadgroup('GROUP', 'g', 'bob', 'STREAMS', key, '2-0');
  await life.expect('gone', history, [[key, [['4-0', null], ...these(5)]]]);
  await life.expect('del', client.del(key), 1);
}

async function information(life) {
  const { client, checks } = life;
  const key = await delivered(life, 'information');
  await life.expect('create', client.xgroup('CREATE', key, 'late', '$'), 'OK');
  const stream = pairs(await client.xinfo('STREAM', key));
  checkFields(life, stream, {
    length: 5, 'last-generated-id': '5-0', 'max-deleted-entry-id': '0-0', 'entries-added': 5,
    'recorded-first-entry-id': '1-0', groups: 2, 'first-entry': these(1)[0],
    'last-entry': these(5)[0],
  });
  for (const name of ['radix-tree-keys', 'radix-tree-nodes']) {
    checks.holds(name, stream[name], 'a number', Number.isInteger(stream[name]));
  }
  const groups = (await client.xinfo('GROUPS', key)).map(pairs);
  checks.equal('groups', groups.length, 2);
  checkFields(life, groups[0], {
    name: 'g', consumers: 2, pending: 4, 'last-delivered-id': '4-0', 'entries-read': 4, lag: 1,
  });
  checkFields(life, groups[1], {
    name: 'late', consumers: 0, pending: 0, 'last-delivered-id': '5-0', lag: 0,
  });
  const consumers = (await client.xinfo('CONSUMERS', key, 'g')).map(pairs);
  const found = consumers.map((consumer) => [consumer.name, consumer.pending]);
  checks.equal('consumers', found, [['alice', 3], ['bob', 1]]);
  for (const { idle } of consumers) {
    checks.holds('idle', idle, 'just now', idle >= 0 && idle < IDLE_MILLISECONDS_MAX);
  }
  await informationInFull(life, key);
  await life.expect('del', client.del(key), 1);
}

async function informationInFull(life, key) {
  const { client, checks } = life;
  const stream = pairs(await client.xinfo('STREAM', key, 'FULL'));
  checkFields(life, stream, {
    length: 5, 'last-generated-id': '5-0', 'entries-added': 5, 'recorded-first-entry-id': '1-0',
    entries: entries(1, 5),
  });
  const [first, late] = stream.groups.map(pairs);
  checkFields(life, first, {
    name: 'g', 'last-delivered-id': '4-0', 'entries-read': 4, lag: 1, 'pel-count': 4,
  });
  const found = first.pending.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
  checks.equal('pending in full', found,
    [['1-0', 'alice', 1], ['2-0', 'alice', 1], ['3-0', 'alice', 1], ['4-0', 'bob', 1]]);
  const [alice, bob] = first.consumers.map(pairs);
  checkFields(life, alice, { name: 'alice', 'pel-count': 3 });
  checks.equal('pending of alice', alice.pending.map(([id, , deliveries]) => [id, deliveries]),
    [['1-0', 1], ['2-0', 1], ['3-0', 1]]);
  checkFields(life, bob, { name: 'bob', 'pel-count': 1 });
  const [[, deliveredAt]] = bob.pending;
  const near = Math.abs(deliveredAt - bob['seen-time']) < IDLE_MILLISECONDS_MAX;
  checks.holds('delivered when seen', deliveredAt, `about ${bob['seen-time']}`, near);
  checks.equal('the late group', late.pending, []);
}

async function endOfGroup(life) {
  const { client, checks } = life;
  const key = await delivered(life, 'end');
  await life.expect('create', client.xgroup('CREATECONSUMER', key, 'g', 'carol'), 1);
  await life.expect('create', client.xgroup('CREATECONSUMER', key, 'g', 'carol'), 0);
  await life.expect('delete', client.xgroup('DELCONSUMER', key, 'g', 'carol'), 0);
  await life.expect('delete', client.xgroup('DELCONSUMER', key, 'g', 'alice'), 3);
  await life.expect('delete', client.xgroup('DELCONSUMER', key, 'g', 'nobody'), 0);
  const consumers = (await client.xinfo('CONSUMERS', key, 'g')).map(pairs);
  checks.equal('consumers left', consumers.map(({ name }) => name), ['bob']);
  await life.expect('setid', client.xgroup('SETID', key, 'g', '0'), 'OK');
  const again = client.xreadgroup('GROUP', 'g', 'bob', 'COUNT', 1, 'STREAMS', key, '>');
  await life.expect('again', again, [[key, these(1)]]);
  await life.expect('destroy', client.xgroup('DESTROY', key, 'g'), 1);
  await life.expect('destroy', client.xgroup('DESTROY', key, 'g'), 0);
  await life.expect('groups', client.xinfo('GROUPS', key), []);
  const missing = `NOGROUP No such consumer group 'g' for key name '${key}'`;
  await life.refuse('consumers', client.xinfo('CONSUMERS', key, 'g'), missing);
  await life.refuse('setid', client.xgroup('SETID', key, 'g', '0'), missing);
  await life.expect('del', client.del(key), 1);
}

// Five entries: three are pending for alice, one for bob, one is not delivered.
async function delivered(life, word) {
  const { client } = life;
  const key = await life.stream(word, 5);
  await life.expect('create', client.xgroup('CREATE', key, 'g', '0'), 'OK');
  const read = (consumer, count) =>
    client.xreadgroup('GROUP', 'g', consumer, 'COUNT', count, 'STREAMS', key, '>');
  await life.expect('alice', read('alice', 3), [[key, these(1, 2, 3)]]);
  await life.expect('bob', read('bob', 1), [[key, these(4)]]);
  return key;
}

// Who has which entry, and how often it was delivered; the idle time is only plausible.
async function details(life, expected, key, ...options) {
  const found = await life.client.xpending(key, 'g', ...options);
  const known = found.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
  life.checks.equal('details', known, expected);
  const least = options[0] === 'IDLE' ? options[1] : 0;
  for (const [, , idle] of found) {
    const plausible = idle >= least && idle < HOUR_MILLISECONDS + IDLE_MILLISECONDS_MAX;
    life.checks.holds('idle time', idle, `${least} or little more`, plausible);
  }
}

function checkFields(life, reply, expected) {
  life.checks.equal('fields', only(Object.keys(expected), reply), expected);
}

module.exports = [group, pending, claim, information, endOfGroup];
