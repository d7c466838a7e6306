'use strict';
// Counts what was checked; the first check that does not hold ends the program with exit code 1.

const { inspect, isDeepStrictEqual } = require('node:util');

const SHOWN_CHARACTERS_MAX = 2000;

class Checks {
  count = 0;

  // Every check names what it looked at, so that a failure says where the life went wrong.
  equal(what, actual, expected) {
    this.count += 1;
    if (!isDeepStrictEqual(plain(actual), plain(expected))) {
      fail(what, expected, actual);
    }
  }

  // For what no test can know word for word: an id made by the clock, a time.
  holds(what, actual, expected, condition) {
    this.count += 1;
    if (!condition) {
      fail(what, expected, actual);
    }
  }

  // The promise is rejected with exactly this text.
  async refused(what, promise, text) {
    this.count += 1;
    let came;
    try {
      came = await promise;
    } catch (error) {
      if (error.message !== text) {
        fail(what, text, error.message);
      }
      return;
    }
    fail(what, text, came);
  }

  finish() {
    console.log(`ok ${this.count}`);
  }
}

// The fields of a reply that are expected: newer servers tell more.
function only(names, reply) {
  return Object.fromEntries(names.map((name) => [name, reply[name]]));
}

// Clients answer with objects without a prototype, which are equal to none that is written down.
function plain(value) {
  if (Array.isArray(value)) {
    return value.map(plain);
  }
  if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) {
    return value;
  }
  const pairs = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(pairs.map(([name, item]) => [name, plain(item)]));
}

function fail(what, expected, actual) {
  console.log(`${what}\n  expected ${shown(expected)}\n  got      ${shown(actual)}`);
  process.exit(1);
}

// Five megabytes in a message help nobody.
function shown(value) {
  const text = inspect(plain(value), { depth: null, breakLength: Infinity, maxStringLength: 200 });
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}

module.exports = { Checks, only };
