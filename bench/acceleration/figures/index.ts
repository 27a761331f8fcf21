/** All figures and tables, in the order in which they are made. */
import type { Figure } from '../figure.js';
import { beyond } from './beyond.js';
import { fig8 } from './large.js';
import { fig6Bert, fig6Gpt } from './methods.js';
import { fig7, fig9 } from './sampling.js';

export const figures: readonly Figure[] = [fig6Bert, fig6Gpt, fig7, fig8, fig9, beyond];
