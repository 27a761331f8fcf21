/** The live page of a run or comparison: its state and its files; serving them is for others. */
export { Dashboard, type DashboardOptions } from './dashboard.js';
export { contentSecurityPolicy, type PageFile, pageFiles } from './page.js';
export type { DashboardProgress, DashboardState, DashboardView } from './view.js';
