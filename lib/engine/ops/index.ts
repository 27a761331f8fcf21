/** All ops, with what declares them. */
export {
  type Attributes,
  defineOp,
  emit,
  emitOne,
  type GradientContext,
  type OpDefinition,
  opRegistry,
} from './define.js';
export * from './public.js';
