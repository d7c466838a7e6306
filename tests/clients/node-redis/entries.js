'use strict';
// What the streams of the tests hold, as node-redis shows it.

// The entries first-0 … last-0 that `Life.stream` adds.
function entries(first, last) {
  const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return these(...numbers);
}

function these(...numbers) {
  return numbers.map((number) => ({ id: `${number}-0`, message: { n: `${number}` } }));
}

module.exports = { entries, these };
