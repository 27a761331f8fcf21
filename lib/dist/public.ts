/**
 * `apollo-lm/dist`: several processes that train one model, and the group that they form.
 * @module dist
 */
export { alone, type Group, openGroup } from './group.js';
export type { Environment } from './rank.js';
