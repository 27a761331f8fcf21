/** State of the page: the last view, and of each run all rows of its curves. Pure; main.js and tests use it. */

/** The state before anything has come. */
export const nothing = { view: undefined, runs: new Map() };

/**
 * The state after a message: a snapshot stands alone, an update changes the ends of curves.
 * @param {{ view: object | undefined, runs: Map<string, object> }} state
 * @param {'snapshot' | 'update'} kind
 */
export function received(state, kind, view) {
  const runs = new Map(kind === 'snapshot' ? [] : state.runs);
  for (const run of view.runs) {
    const before = runs.get(run.id);
    runs.set(run.id, {
      ...run,
      points: spliced(before?.points, run.points),
      evaluations: spliced(before?.evaluations, run.evaluations),
    });
  }
  return { view, runs };
}

function spliced(rows = [], { from, rows: later }) {
  return [...rows.slice(0, from), ...later];
}

/**
 * Place of each method in the palette; the reference of a comparison has a colour of its own (-1).
 * @returns {Map<string, number>}
 */
export function colorsOf({ view, runs }) {
  const places = new Map();
  let next = 0;
  for (const { method } of runs.values()) {
    if (places.has(method)) continue;
    places.set(method, method === view?.reference ? -1 : next++);
  }
  return places;
}
