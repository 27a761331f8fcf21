/** All figures and tables, in the order in which they are made. */
import type { Figure } from '../figure.js';
import { activations } from './activations.js';
import { beyond } from './beyond.js';
import { frontierBert, frontierGpt } from './frontier.js';
import { table3 } from './grown.js';
import { fig8 } from './large.js';
import { longerBert } from './longer.js';
import { fig6Bert, fig6Gpt } from './methods.js';
import { samplerShapes } from './samplers.js';
import { fig7, fig9 } from './sampling.js';
import { starts } from './starts.js';
import { table2 } from './trainability.js';

export const figures: readonly Figure[] = [
  samplerShapes,
  activations,
  table2,
  table3,
  fig6Bert,
  fig6Gpt,
  fig7,
  fig8,
  fig9,
  beyond,
  starts,
  longerBert,
  frontierGpt,
  frontierBert,
];
