import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

t.test('the embedded example trains, stops by its own rule and tells odd lines from ordinary ones', async (t) => {
  const script = readFileSync(new URL('../../examples/embed/anomaly.mjs', import.meta.url), 'utf8');
  const folder = mkdtempSync(fileURLToPath(new URL('./embed-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // From source instead of from the installed package; nothing else is changed.
  writeFileSync(`${folder}/anomaly.ts`, script);
  const printed: string[] = [];
  const print = console.log;
  console.log = (line: string) => printed.push(line);
  t.teardown(() => {
    console.log = print;
  });
  const { surprise, close } = (await import(`${folder}/anomaly.ts`)) as {
    surprise(line: string): Promise<number>;
    close(): Promise<void>;
  };
  console.log = print;
  const [stopped] = printed.flatMap((line) => /stopped after (\d+) of (\d+) steps/.exec(line)?.slice(1) ?? []);
  t.ok(Number(stopped) < 400, `its own rule stopped it, after ${stopped} steps`);
  t.same(
    printed.filter((line) => line.includes('layers')),
    ['step 40: 1 -> 2 layers', 'step 100: 2 -> 4 layers'],
  );
  t.same(
    printed.slice(-4).map((line) => line.slice(0, 4).trim()),
    ['fine', 'fine', 'ODD', 'ODD'],
  );
  const [usual, unheard] = [
    await surprise('chris opens lab; chris closes lab.'),
    await surprise('chris opens lab; dee closes lab.'),
  ];
  t.ok(unheard > 3 * usual, `${unheard} against ${usual}`);
  await close();
});
