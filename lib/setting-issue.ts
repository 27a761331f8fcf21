/** Describes an invalid setting in the style of the other messages. */
import type * as z from 'zod';

/** "expected at most 1" for zod's "Too big: expected number to be <=1"; what a schema says itself stays. */
export function issueText(issue: z.core.$ZodIssue): string {
  const isNumber = 'origin' in issue && ['number', 'int'].includes(String(issue.origin));
  const isOwn = !/^Too (small|big): /.test(issue.message);
  if (isNumber && !isOwn) {
    if (issue.code === 'too_small')
      return `expected ${issue.inclusive ? 'at least' : 'more than'} ${String(issue.minimum)}`;
    if (issue.code === 'too_big')
      return `expected ${issue.inclusive ? 'at most' : 'less than'} ${String(issue.maximum)}`;
  }
  return issue.message.replace(/^Too (small|big): /, '');
}
