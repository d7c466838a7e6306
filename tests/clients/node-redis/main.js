'use strict';
// The whole life of a stream and of a group through node-redis: HOST PORT PROTOCOL.
// PROTOCOL is 2, 3, or default: then the client says no HELLO and speaks RESP2.

const { createClient } = require('redis');
const { Checks } = require('../checks.js');
const groups = require('./groups.js');
const streams = require('./streams.js');
const transactions = require('./transactions.js');

// What the steps share. Each has keys of its own and leaves nothing behind.
class Life {
  checks = new Checks();
  prefix = `life:${process.pid}:${process.hrtime.bigint()}`;

  constructor(host, port, protocol) {
    this.resp3 = protocol === '3';
    this.settings = { socket: { host, port } };
    if (protocol !== 'default') {
      // node-redis shows the reads of RESP3 only to those who say that they know their shape.
      Object.assign(this.settings, { RESP: Number(protocol), unstableResp3: true });
    }
  }

  async connect() {
    const client = createClient(this.settings);
    client.on('error', (error) => { throw error; });
    await client.connect();
    return client;
  }

  name(word) {
    return `${this.prefix}:${word}`;
  }

  // A stream with the entries 1-0 … count-0.
  async stream(word, count) {
    const key = this.name(word);
    for (let number = 1; number <= count; number += 1) {
      const id = `${number}-0`;
      await this.expect('xadd', this.client.xAdd(key, id, { n: `${number}` }), id);
    }
    return key;
  }

  // What a read of these [key, entries] answers: objects, or RESP3's map as it comes.
  streams(...found) {
    if (!this.resp3) {
      return found.map(([name, messages]) => ({ name, messages }));
    }
    const raw = ({ id, message }) => [id, Object.entries(message).flat()];
    return Object.fromEntries(found.map(([key, messages]) => [key, messages.map(raw)]));
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
  const life = new Life(host, port, protocol);
  life.client = await life.connect();
  life.other = await life.connect();
  const keysBefore = await life.client.dbSize();
  for (const step of [...streams, ...groups, ...transactions]) {
    // A life that hangs is ended from outside: then this says where.
    console.log(step.name);
    await step(life);
  }
  await life.expect('dbsize at the end', life.client.dbSize(), keysBefore);
  await life.client.close();
  life.other.destroy();
  life.checks.finish();
}

const [host, port, protocol] = process.argv.slice(2);
live(host, Number(port), protocol);
