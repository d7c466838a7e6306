'use strict';
// The whole life of a stream and of a group through ioredis: HOST PORT PROTOCOL.
// It speaks RESP2 only and shows replies as they come, entries as [id, [field, value, …]].

const Redis = require('ioredis');
const { Checks } = require('../checks.js');
const groups = require('./groups.js');
const streams = require('./streams.js');
const transactions = require('./transactions.js');

// What the steps share. Each has keys of its own and leaves nothing behind.
class Life {
  checks = new Checks();
  prefix = `life:${process.pid}:${process.hrtime.bigint()}`;

  constructor(host, port) {
    this.address = { host, port };
    this.client = this.connect();
    this.other = this.connect();
  }

  connect() {
    return new Redis(this.address);
  }

  name(word) {
    return `${this.prefix}:${word}`;
  }

  // A stream with the entries 1-0 … count-0.
  async stream(word, count) {
    const key = this.name(word);
    for (let number = 1; number <= count; number += 1) {
      const id = `${number}-0`;
      await this.expect('xadd', this.client.xadd(key, id, 'n', number), id);
    }
    return key;
  }

  async expect(what, promise, expected) {
    // A reply that is refused did not come as expected, either.
    this.checks.equal(what, await promise.catch((error) => error.message), expected);
  }

  async refuse(what, promise, text) {
    await this.checks.refused(what, promise, text);
  }
}

async function live(host, port, protocol) {
  if (protocol !== 2) {
    throw new Error(`ioredis speaks RESP2 only, not ${protocol}`);
  }
  const life = new Life(host, port);
  const keysBefore = await life.client.dbsize();
  for (const step of [...streams, ...groups, ...transactions]) {
    // A life that hangs is ended from outside: then this says where.
    console.log(step.name);
    await step(life);
  }
  await life.expect('dbsize at the end', life.client.dbsize(), keysBefore);
  life.client.disconnect();
  await life.expect('quit', life.other.quit(), 'OK');
  life.checks.finish();
}

const [host, port, protocol] = process.argv.slice(2);
live(host, Number(port), Number(protocol));
