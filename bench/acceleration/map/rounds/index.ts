/**
 * The rounds of the map: which runs each makes, in the order in which they are made, and what was predicted before the
 * first of them ran. A round is a file and a line here.
 */
import { roundA } from './a.js';
import { roundB } from './b.js';
import { roundC } from './c.js';
import { roundE } from './e.js';
import { roundF } from './f.js';
import { roundG } from './g.js';
import { roundH } from './h.js';
import { roundL } from './l.js';
import { roundM } from './m.js';
import type { Round } from './round.js';

export { budgets, type Prediction, type Round } from './round.js';

export const rounds: readonly Round[] = [roundA, roundL, roundB, roundM, roundE, roundG, roundF, roundC, roundH];
