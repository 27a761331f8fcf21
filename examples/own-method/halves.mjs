// A training method from outside of the package: half of the layers at first, then all of them, by copies on top.
import { ApolloError } from 'apollo-lm';
import { makeSchedule, stackTop } from 'apollo-lm/growth';
import { depthGrowth } from 'apollo-lm/methods';

/** @type {import('apollo-lm/methods').MethodDefinition} */
export default {
  name: 'halves',
  create({ layers, totalSteps, seed, first = 0.3, ...others }) {
    const [unknown] = Object.keys(others);
    if (unknown !== undefined)
      throw new ApolloError('BAD_CONFIG', `halves.${unknown}: there is no such setting. Known: first.`);
    if (!(first > 0 && first < 1))
      throw new ApolloError('BAD_CONFIG', `halves.first: expected a share of the steps in (0, 1); got ${first}.`);
    const schedule = makeSchedule({
      stageLayers: [Math.ceil(layers / 2), layers],
      boundaries: { fractions: [first] },
      totalSteps,
    });
    return {
      name: 'halves',
      layers,
      settings: { layers, totalSteps, seed, first }, // a checkpoint keeps them; a resumed run must have the same
      ...depthGrowth({ schedule, map: stackTop, moments: 'old-kept-new-zero' }),
    };
  },
};
