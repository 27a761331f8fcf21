/** `apollo-lm plan --ranks`. */
import t from 'tap';
import { byteRate, flopRate, type RanksPlan, seconds } from '../../lib/cli/plan-ranks.js';
import { run } from '../../lib/cli/run.js';
import { engineMissing, memoryIo } from './support.js';

const nano = ['plan', '--model', 'gpt-nano', '--batch', '4', '--steps', '100', '--method', 'apollo'];

t.test('rates and times are read with their units', async (t) => {
  t.same(['1Gbit', '100Mbit', '50GB/s', '2.5kB'].map(byteRate), [1.25e8, 1.25e7, 5e10, 2500]);
  t.same(['50us', '1.5ms', '2s'].map(seconds), [50e-6, 1.5e-3, 2]);
  t.same(['400T', '1e14', '50G'].map(flopRate), [4e14, 1e14, 5e10]);
  for (const wrong of ['1Gbits', '-1Gbit', '0Gbit', '10']) t.throws(() => byteRate(wrong), /such as 1Gbit/);
  for (const wrong of ['50', '5 minutes']) t.throws(() => seconds(wrong), /such as 50us/);
  for (const wrong of ['fast', '0', '1 EFLOP']) t.throws(() => flopRate(wrong), /such as 400T/);
});

t.test('from given FLOP/s, without the engine', async (t) => {
  const io = memoryIo();
  const ranks = ['--ranks', '8', '64', '512', '4096', '--flops', '1T', '--bandwidth', '1Gbit', '--latency', '50us'];
  t.equal(await run([...nano, ...ranks, '--json'], io), 0, io.err());
  const { onRanks: plan, stages } = JSON.parse(io.out()) as {
    readonly onRanks: RanksPlan;
    readonly stages: readonly { readonly flops: number; readonly steps: number; readonly parameters: number }[];
  };
  t.equal(plan.compute, 'given');
  t.same(plan.model.network, { latency: 50e-6, bandwidth: 0.95 * 1.25e8, memory: 1e12 });
  t.equal(plan.stages.length, 4);
  for (const [i, stage] of plan.stages.entries()) {
    t.ok(Math.abs(stage.compute / (stages[i]!.flops / stages[i]!.steps / 1e12) - 1) < 1e-12);
    t.equal(Math.round(stage.bytes.outer), Math.round(((2 * 4095) / 4096) * 4 * stage.parameters + 12 * 48));
    t.equal(Math.round(stage.bytes.f32), Math.round(stage.bytes.outer), 'an outer step sends what gradients do');
  }
  t.equal(plan.rows.length, 4 * 5, 'three ways to share each step, and rounds of two lengths');
  const efficiency = (ranks: number, mode: string, every?: number) =>
    plan.rows.find((row) => row.ranks === ranks && row.mode === mode && row.syncEvery === every)!.step.efficiency;
  t.ok(efficiency(8, 'f32') < efficiency(8, 'bf16') && efficiency(8, 'bf16') < efficiency(8, 'outer', 50));
  t.ok(efficiency(4096, 'f32') < efficiency(8, 'f32'));
  t.ok(efficiency(8, 'outer', 500) > efficiency(8, 'outer', 50));
});

t.test('the tables name what they assume', async (t) => {
  const io = memoryIo();
  const args = ['--ranks', '8', '4096', '--flops', '400T', '--sync-every', '20', '--overlap', '0.5'];
  t.equal(await run([...nano, ...args], io), 0, io.err());
  t.match(
    io.out(),
    /ranks +data parallel, f32 +data parallel, bf16 +sharded optimizer \(ZeRO-1\) +outer step every 20/,
  );
  t.match(io.out(), /4,096 +\d/);
  t.match(io.out(), /links of 1.25 GB\/s for each rank, both ways at once, 95 % of it payload, 50 us per message/);
  t.match(io.out(), /50 % of the backward pass of the last micro-batch overlaps the exchange/);
  t.match(io.out(), /Thakur, Rabenseifner, Gropp 2005/);
});

t.test(
  'what a rank holds, with the optimizer sharded or whole, measured or not',
  { skip: engineMissing() },
  async (t) => {
    const plan = async (...args: string[]) => {
      const io = memoryIo();
      t.equal(await run([...nano, '--precision', 'f32', ...args, '--json'], io), 0, io.err());
      return JSON.parse(io.out()) as {
        readonly onRanks: RanksPlan;
        readonly measured?: { readonly depths: readonly { readonly parameterBytes: number }[] };
      };
    };
    const given = ['--ranks', '8', '64', '--flops', '1T'];
    const whole = (await plan(...given)).onRanks;
    const sharded = (await plan(...given, '--shard-optimizer')).onRanks;
    t.same([whole.sharded, sharded.sharded], [false, true]);
    for (const [i, { parameters, parameterBytes }] of whole.stages.entries()) {
      t.equal(parameterBytes, 16 * parameters, 'weights, gradients and two moments in f32');
      t.equal(sharded.stages[i]!.parameterBytes, 8 * parameters + Math.ceil((8 * parameters) / 64));
    }
    const measured = await plan('--ranks', '64', '--shard-optimizer');
    t.equal(measured.onRanks.stages.at(-1)!.parameterBytes, measured.measured!.depths.at(-1)!.parameterBytes);
    const io = memoryIo();
    await run([...nano, ...given, '--shard-optimizer'], io);
    t.match(io.out(), /1\/64 of that state \(--shard-optimizer\)\n\ntrained layers .* holds/);
  },
);

t.test('what does not belong together is refused', async (t) => {
  for (const [args, message] of [
    [['--ranks', '8', '--no-measure'], /--ranks requires the speed of one rank/],
    [['--flops', '1T'], /--flops is for a plan on many ranks: add --ranks/],
    [['--bandwidth', '1Gbit'], /--bandwidth is for a plan on many ranks: add --ranks/],
    [['--latency', '1ms'], /--latency is for a plan on many ranks/],
    [['--overlap', '0.5'], /--overlap is for a plan on many ranks/],
    [['--memory-bandwidth', '8GB'], /--memory-bandwidth is for a plan on many ranks/],
    [['--shard-optimizer'], /--shard-optimizer is for a plan on many ranks/],
    [['--measure', 'full', '--ranks', '2', '--flops', '1T'], /--measure full and --flops both give the speed/],
    [['--ranks', '0'], /at least 1/],
    [['--ranks', '8', '--overlap', '2'], /a share from 0 to 1/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run([...nano, ...args], io), 1);
    t.match(io.err(), message);
  }
});

t.test('stages are those of the tokens of all ranks', async (t) => {
  const io = memoryIo();
  const args = ['plan', '--model', 'gpt-nano', '--batch', '4', '--steps', '100', '--method', 'auto', '--flops', '1T'];
  t.equal(await run([...args, '--ranks', '8', '4096', '--json'], io), 0, io.err());
  const { runs } = (JSON.parse(io.out()) as { onRanks: RanksPlan }).onRanks;
  t.same(runs, [
    { ranks: 8, steps: [10, 15, 25, 50] },
    { ranks: 4096, steps: [5, 5, 15, 75] },
  ]);
  const text = memoryIo();
  await run([...args, '--ranks', '8', '4096'], text);
  t.match(
    text.out(),
    /decide the steps of the stages: on 4,096 ranks 5, 5, 15, 75; on one rank, as above, 10, 15, 25, 50\./,
  );
  const short = memoryIo();
  await run([...args, '--ranks', '8'], short);
  t.notMatch(short.out(), /steps of the stages/);
});
