'use strict';
// What the streams of the tests hold, as ioredis shows it.

// The entries first-0 … last-0 that `Life.stream` adds.
function entries(first, last) {
  const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return these(...numbers);
}

function these(...numbers) {
  return numbers.map((number) => [`${number}-0`, ['n', `${number}`]]);
}

// A flat list of names and values as an object.
function pairs(reply) {
  const found = {};
  for (let index = 0; index < reply.length; index += 2) {
    found[reply[index]] = reply[index + 1];
  }
  return found;
}

module.exports = { entries, pairs, these };
