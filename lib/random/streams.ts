/**
 * All streams of random numbers. A Philox counter has four words; uses of one seed never meet because they differ in the
 * fourth, or have the fourth in common and differ in the third. Dropout has the step as its third word and the micro-batch as
 * its fourth (native/core/philox.h), both small numbers.
 */

/** Fourth words of counters. */
export const families = {
  /** `uniformNumber`, whose third word is one of `uniformStreams`. */
  uniform: 0xffff_ffff,
  /** Initial values of parameters. */
  initial: 0xffff_fffe,
  /** Initial values of LiGO's operators. */
  operator: 0xffff_fffd,
  /** Which positions masked language modelling predicts ('mlmc'), and what is there instead ('mlmf'). */
  maskChoice: 0x6d6c_6d63,
  maskFill: 0x6d6c_6d66,
} as const;

/** Third words of `uniformNumber`. */
export const uniformStreams = {
  /** Depth of a step (Apollo). */
  depth: 1,
  /** Layers that progressive layer dropping leaves out. */
  layerDrop: 2,
  /** Units that a growth in width copies ('widt'). */
  width: 0x7769_6474,
  /** Depth of a step's prefix, bert2BERT's two-stage training ('pref'). */
  prefix: 0x7072_6566,
  /** Layers that LayerDrop skips ('skip'). */
  skip: 0x736b_6970,
  /** Layers of a step's subset, RaPTr ('rapt'). */
  subset: 0x7261_7074,
  /** Tokens that are generated: sample i draws from stream `sampling + i` ('g'). */
  sampling: 0x6700_0000,
} as const;

/** Third word of the draws that order blocks of text ('orde'); their fourth is 0 or 1, which no run's step numbers reach. */
export const orderStream = 0x6f72_6465;
