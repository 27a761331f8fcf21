/** Runs files of tests, named from test/, on the CUDA emulator: what a GPU runs by `npm run test:cuda`. */
import t from 'tap';

export async function onEmulator(...files: string[]): Promise<void> {
  process.env.APOLLO_TEST_DEVICE = 'emulator';
  const { noEmulator } = await import('../device.js');
  for (const file of files) {
    if (noEmulator) t.test(file, { skip: noEmulator }, () => {});
    else await import(new URL(`../${file}.test.js`, import.meta.url).href);
  }
}
