/** Describes an invalid setting in the style of the other messages. */
import type * as z from 'zod';

/**
 * "expected at most 1" for zod's "Too big: expected number to be <=1", "expected cosine or linear" for its "Invalid option";
 * what a schema says itself stays.
 */
export function issueText(issue: z.core.$ZodIssue): string {
  const isNumber = 'origin' in issue && ['number', 'int'].includes(String(issue.origin));
  const isOwn = !/^Too (small|big): /.test(issue.message);
  if (isNumber && !isOwn) {
    if (issue.code === 'too_small')
      return `expected ${issue.inclusive ? 'at least' : 'more than'} ${String(issue.minimum)}`;
    if (issue.code === 'too_big')
      return `expected ${issue.inclusive ? 'at most' : 'less than'} ${String(issue.maximum)}`;
  }
  if (issue.code === 'invalid_value' && issue.message.startsWith('Invalid ')) return `expected ${either(issue.values)}`;
  return issue.message
    .replace(/^(Too (small|big)|Invalid input): /, '')
    .replace(/^(expected \w+), received \w+$/, '$1');
}

/** "a, b or c". */
function either(values: readonly unknown[]): string {
  const texts = values.map(String);
  return [texts.slice(0, -1).join(', '), ...texts.slice(-1)].filter((text) => text !== '').join(' or ');
}
