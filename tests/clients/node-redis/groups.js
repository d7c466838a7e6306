'use strict';
// The part of the life that consumer groups have.

const { only } = require('../checks.js');
const { entries, these } = require('./entries.js');

const IDLE_MILLISECONDS_MAX = 60_000;
const HOUR_MILLISECONDS = 3_600_000;

async function group(life) {
  const { client } = life;
  const key = life.name('group');
  await life.expect('create', client.xGroupCreate(key, 'g', '$', { MKSTREAM: true }), 'OK');
  await life.refuse('busy', client.xGroupCreate(key, 'g', '$'),
    'BUSYGROUP Consumer Group name already exists');
  await life.refuse('missing', client.xGroupCreate(life.name('missing'), 'g', '$'),
    'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to '
      + 'use the MKSTREAM option to create an empty stream automatically.');
  await life.expect('xLen', client.xLen(key), 0);
  await life.expect('type', client.type(key), 'stream');
  const reader = await life.connect();
  const waiting = reader.xReadGroup('g', 'alice', { key, id: '>' }, { BLOCK: 30_000 });
  await life.expect('xAdd', life.other.xAdd(key, '1-0', { n: '1' }), '1-0');
  await life.expect("the group's read", waiting, life.streams([key, these(1)]));
  reader.destroy();
  for (const number of [2, 3, 4, 5]) {
    const adding = client.xAdd(key, `${number}-0`, { n: `${number}` });
    await life.expect('xAdd', adding, `${number}-0`);
  }
  const expectRead = (consumer, id, options, found) => {
    const reading = client.xReadGroup('g', consumer, { key, id }, options);
    return life.expect(`read of ${consumer}`, reading, life.streams([key, found]));
  };
  await expectRead('alice', '>', { COUNT: 2 }, these(2, 3));
  await expectRead('bob', '>', { COUNT: 1 }, these(4));
  await expectRead('bob', '>', { NOACK: true }, these(5));
  await life.expect('time out', client.xReadGroup('g', 'bob', { key, id: '>' }, { BLOCK: 20 }),
    null);
  await expectRead('alice', '0', {}, these(1, 2, 3));
  await expectRead('alice', '1-0', { COUNT: 1 }, these(2));
  await expectRead('carol', '0', {}, []);
  await life.refuse('no group', client.xReadGroup('nobody', 'alice', { key, id: '>' }),
    `NOGROUP No such key '${key}' or consumer group 'nobody' in XREADGROUP with GROUP option`);
  await life.expect('del', client.del(key), 1);
}

async function pending(life) {
  const { client } = life;
  const key = await delivered(life, 'pending');
  await life.expect('summary', client.xPending(key, 'g'), {
    pending: 4,
    firstId: '1-0',
    lastId: '4-0',
    consumers: [
      { name: 'alice', deliveriesCounter: 3 }, { name: 'bob', deliveriesCounter: 1 },
    ],
  });
  const all = [['1-0', 'alice', 1], ['2-0', 'alice', 1], ['3-0', 'alice', 1], ['4-0', 'bob', 1]];
  await details(life, all, key, '-', '+', 10);
  await details(life, all.slice(1, 2), key, '(1-0', '+', 1);
  await details(life, all.slice(3), key, '-', '+', 10, { consumer: 'bob' });
  await details(life, [], key, '-', '+', 10, { IDLE: HOUR_MILLISECONDS });
  await life.expect('xAck', client.xAck(key, 'g', ['1-0', '4-0', '9-9']), 2);
  await life.expect('xAck', client.xAck(key, 'nobody', '2-0'), 0);
  await life.expect('summary', client.xPending(key, 'g'), {
    pending: 2, firstId: '2-0', lastId: '3-0', consumers: [{ name: 'alice', deliveriesCounter: 2 }],
  });
  await life.expect('xAck', client.xAck(key, 'g', ['2-0', '3-0']), 2);
  await life.expect('summary', client.xPending(key, 'g'),
    { pending: 0, firstId: null, lastId: null, consumers: null });
  await life.refuse('no group', client.xPending(key, 'nobody'),
    `NOGROUP No such key '${key}' or consumer group 'nobody'`);
  await life.expect('del', client.del(key), 1);
}

async function claim(life) {
  const { client } = life;
  const key = await delivered(life, 'claim');
  const take = (consumer, idle, ...rest) => client.xClaim(key, 'g', consumer, idle, ...rest);
  await life.expect('too early', take('bob', HOUR_MILLISECONDS, '1-0'), []);
  await life.expect('claim', take('bob', 0, ['1-0', '9-9']), these(1));
  await life.expect('just ids', client.xClaimJustId(key, 'g', 'bob', 0, '1-0'), ['1-0']);
  await details(life, [['1-0', 'bob', 2]], key, '1-0', '1-0', 1);
  const options = { IDLE: HOUR_MILLISECONDS, RETRYCOUNT: 7 };
  await life.expect('options', take('bob', 0, '2-0', options), these(2));
  await details(life, [['2-0', 'bob', 7]], key, '-', '+', 9, { IDLE: HOUR_MILLISECONDS });
  await life.expect('force', take('carol', 0, '5-0', { FORCE: true }), these(5));
  // Made by force it counts as delivered, and then as claimed.
  await details(life, [['5-0', 'carol', 2]], key, '5-0', '+', 1);
  await life.expect('xDel', client.xDel(key, '3-0'), 1);
  await life.expect('autoclaim', client.xAutoClaim(key, 'g', 'dave', 0, '0-0', { COUNT: 2 }),
    { nextId: '3-0', messages: these(1, 2), deletedMessages: [] });
  await life.expect('autoclaim', client.xAutoClaim(key, 'g', 'dave', 0, '3-0'),
    { nextId: '0-0', messages: these(4, 5), deletedMessages: ['3-0'] });
  await life.expect('just ids', client.xAutoClaimJustId(key, 'g', 'bob', 0, '0'),
    { nextId: '0-0', messages: ['1-0', '2-0', '4-0', '5-0'], deletedMessages: [] });
  await life.expect('too early', client.xAutoClaim(key, 'g', 'bob', HOUR_MILLISECONDS, '0'),
    { nextId: '0-0', messages: [], deletedMessages: [] });
  const all = [['1-0', 'bob', 3], ['2-0', 'bob', 8], ['4-0', 'bob', 2], ['5-0', 'bob', 3]];
  await details(life, all, key, '-', '+', 9);
  // An entry that is gone stays pending until somebody acknowledges or claims it. In RESP2
  // node-redis' own xReadGroup stumbles over the nil that stands for it.
  await life.expect('xDel', client.xDel(key, '4-0'), 1);
  const history = ['XREADGROUP', 'GROUP', 'g', 'bob', 'STREAMS', key, '2-0'];
  const found = [['4-0', null], ['5-0', ['n', '5']]];
  await life.expect('gone', client.sendCommand(history),
    life.resp3 ? { [key]: found } : [[key, found]]);
  await life.expect('del', client.del(key), 1);
}

async function information(life) {
  const { client, checks } = life;
  const key = await delivered(life, 'information');
  await life.expect('create', client.xGroupCreate(key, 'late', '$'), 'OK');
  const stream = await client.xInfoStream(key);
  checkFields(life, stream, {
    length: 5, 'last-generated-id': '5-0', 'max-deleted-entry-id': '0-0', 'entries-added': 5,
    'recorded-first-entry-id': '1-0', groups: 2, 'first-entry': these(1)[0],
    'last-entry': these(5)[0],
  });
  for (const name of ['radix-tree-keys', 'radix-tree-nodes']) {
    checks.holds(name, stream[name], 'a number', Number.isInteger(stream[name]));
  }
  const groups = await client.xInfoGroups(key);
  checks.equal('groups', groups.length, 2);
  checkFields(life, groups[0], {
    name: 'g', consumers: 2, pending: 4, 'last-delivered-id': '4-0', 'entries-read': 4, lag: 1,
  });
  checkFields(life, groups[1], {
    name: 'late', consumers: 0, pending: 0, 'last-delivered-id': '5-0', lag: 0,
  });
  const consumers = await client.xInfoConsumers(key, 'g');
  const found = consumers.map((consumer) => [consumer.name, consumer.pending]);
  checks.equal('consumers', found, [['alice', 3], ['bob', 1]]);
  for (const { idle } of consumers) {
    checks.holds('idle', idle, 'just now', idle >= 0 && idle < IDLE_MILLISECONDS_MAX);
  }
  await informationInFull(life, key);
  await life.expect('del', client.del(key), 1);
}

// node-redis has no method for it and shows what comes: flat lists in RESP2, maps in RESP3.
async function informationInFull(life, key) {
  const { client, checks } = life;
  const fields = (reply) => (life.resp3 ? reply : pairs(reply));
  const stream = fields(await client.sendCommand(['XINFO', 'STREAM', key, 'FULL', 'COUNT', '9']));
  checkFields(life, stream, {
    length: 5, 'last-generated-id': '5-0', 'entries-added': 5, 'recorded-first-entry-id': '1-0',
    entries: entries(1, 5).map(({ id, message }) => [id, ['n', message.n]]),
  });
  const [first, late] = stream.groups.map(fields);
  checkFields(life, first, {
    name: 'g', 'last-delivered-id': '4-0', 'entries-read': 4, lag: 1, 'pel-count': 4,
  });
  const found = first.pending.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]);
  checks.equal('pending in full', found,
    [['1-0', 'alice', 1], ['2-0', 'alice', 1], ['3-0', 'alice', 1], ['4-0', 'bob', 1]]);
  const [alice, bob] = first.consumers.map(fields);
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
  await life.expect('create', client.xGroupCreateConsumer(key, 'g', 'carol'), 1);
  await life.expect('create', client.xGroupCreateConsumer(key, 'g', 'carol'), 0);
  await life.expect('delete', client.xGroupDelConsumer(key, 'g', 'carol'), 0);
  await life.expect('delete', client.xGroupDelConsumer(key, 'g', 'alice'), 3);
  await life.expect('delete', client.xGroupDelConsumer(key, 'g', 'nobody'), 0);
  const consumers = await client.xInfoConsumers(key, 'g');
  checks.equal('consumers left', consumers.map(({ name }) => name), ['bob']);
  await life.expect('set', client.xGroupSetId(key, 'g', '0'), 'OK');
  const again = client.xReadGroup('g', 'bob', { key, id: '>' }, { COUNT: 1 });
  await life.expect('again', again, life.streams([key, these(1)]));
  await life.expect('destroy', client.xGroupDestroy(key, 'g'), 1);
  await life.expect('destroy', client.xGroupDestroy(key, 'g'), 0);
  await life.expect('groups', client.xInfoGroups(key), []);
  const missing = `NOGROUP No such consumer group 'g' for key name '${key}'`;
  await life.refuse('consumers', client.xInfoConsumers(key, 'g'), missing);
  await life.refuse('set', client.xGroupSetId(key, 'g', '0'), missing);
  await life.expect('del', client.del(key), 1);
}

// Five entries: three are pending for alice, one for bob, one is not delivered.
async function delivered(life, word) {
  const { client } = life;
  const key = await life.stream(word, 5);
  await life.expect('create', client.xGroupCreate(key, 'g', '0'), 'OK');
  const read = (consumer, COUNT) => client.xReadGroup('g', consumer, { key, id: '>' }, { COUNT });
  await life.expect('alice', read('alice', 3), life.streams([key, these(1, 2, 3)]));
  await life.expect('bob', read('bob', 1), life.streams([key, these(4)]));
  return key;
}

// Who has which entry, and how often it was delivered; the idle time is only plausible.
async function details(life, expected, key, start, end, count, options = {}) {
  const found = await life.client.xPendingRange(key, 'g', start, end, count, options);
  const known = found.map(({ id, consumer, deliveriesCounter }) =>
    [id, consumer, deliveriesCounter]);
  life.checks.equal('details', known, expected);
  const least = options.IDLE ?? 0;
  for (const { millisecondsSinceLastDelivery: idle } of found) {
    const plausible = idle >= least && idle < HOUR_MILLISECONDS + IDLE_MILLISECONDS_MAX;
    life.checks.holds('idle time', idle, `${least} or little more`, plausible);
  }
}

// A flat list of names and values as an object.
function pairs(reply) {
  const found = {};
  for (let index = 0; index < reply.length; index += 2) {
    found[reply[index]] = reply[index + 1];
  }
  return found;
}

function checkFields(life, reply, expected) {
  life.checks.equal('fields', only(Object.keys(expected), reply), expected);
}

module.exports = [group, pending, claim, information, endOfGroup];
