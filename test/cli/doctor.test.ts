import t from 'tap';
import { examine, formatFindings } from '../../lib/cli/commands/doctor.js';
import { run } from '../../lib/cli/run.js';
import type { NativeAddon } from '../../lib/engine/native.js';
import { ApolloError } from '../../lib/errors.js';
import { engineMissing, memoryIo } from './support.js';

const noAddon = (): NativeAddon => {
  throw new ApolloError('NO_ADDON', 'The native engine is not built.\nBuild it with "npx apollo-lm build".');
};

t.test('without the engine it says what is missing and how to get it', async (t) => {
  const version = (program: string) => (program === 'g++' ? 'g++ 12.2' : undefined);
  const hasHeader = (_: string, header: string) => header.startsWith('hwy/');
  const findings = await examine({ loadAddon: noAddon, version, hasHeader, measure: true });
  const find = (name: string) => findings.find((finding) => finding.name === name);
  t.match(find('native engine'), { value: 'missing', problem: /npx apollo-lm build/ });
  t.same(find('compiler'), { name: 'compiler', value: 'g++ 12.2' });
  t.match(find('cmake'), { value: 'missing', problem: /APOLLO_BUILD=gyp/ });
  t.match(find('oneDNN headers'), { value: 'missing', problem: /libdnnl-dev/ });
  t.same(find('Highway headers'), { name: 'Highway headers', value: 'found' });
  const text = formatFindings(findings);
  t.match(text, /^! native engine +missing\n +The native engine is not built/m);
  t.match(text, /Lines with "!" need attention\.$/);
});

t.test('with the engine it names oneDNN, the instruction sets and bf16', async (t) => {
  const info = {
    version: '0.1.0',
    compiler: 'GNU 12.2',
    oneDnn: '2.6.3',
    oneDnnIsa: 'avx2',
    kernelIsa: 'AVX2',
    fastBf16: false,
    cpuName: 'x',
    logicalCores: 2,
  };
  const addon = { info: () => info } as unknown as NativeAddon;
  const findings = await examine({
    loadAddon: () => addon,
    version: () => undefined,
    hasHeader: () => false,
    measure: false,
  });
  const text = formatFindings(findings);
  t.match(text, /oneDNN +2\.6\.3, avx2/);
  t.match(text, /bf16 in hardware +no: precision auto is f32/);
  t.match(text, /Everything is in place\.$/);
});

t.test('the command answers for this machine', { skip: engineMissing() }, async (t) => {
  const io = memoryIo();
  t.equal(await run(['doctor', '--no-measure', '--json'], io), 0);
  const { findings } = JSON.parse(io.out()) as { findings: { name: string }[] };
  t.ok(findings.some(({ name }) => name === 'oneDNN'));
});
