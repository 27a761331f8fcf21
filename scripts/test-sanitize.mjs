// npm run test:sanitize: builds core, CPU backend, addon and CUDA emulator with AddressSanitizer and
// UndefinedBehaviorSanitizer (build/sanitize) and runs the suites of ops, programs, devices, workers and training on them.
// What a sanitizer reports ends the process that it is found in, and its file counts as failed.
//
//   --quick    the suites of core, addon and device on the CPU backend, without the emulator: what .ci/run runs
//   --thread   with ThreadSanitizer: the suites of the device's thread and of workers, on the CPU backend
//   NAME ...   parts of file names to run
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { compileTests, finish, root, runTests } from './compiled-tests.mjs';

const args = process.argv.slice(2);
const thread = args.includes('--thread');
const quick = args.includes('--quick');
const parts = args.filter((arg) => !arg.startsWith('--'));
const kind = thread ? 'thread' : 'address';

const native = ['native/core', 'native/device', 'native/planner'];
const device = ['engine/device', 'engine/evaluate', 'engine/state', 'engine/parameters', 'engine/optim/adamw'];
const failures = ['emulator/faults', 'emulator/lost-device'];
const suites = {
  quick: [...native, ...device],
  address: [
    ...native,
    ...device,
    ...failures,
    'engine/ops',
    'engine/gradients',
    'nn/transformer',
    'train/loop',
    'train/accumulation',
    'train/checkpoint/checkpoint',
    'train/growth',
    'train/non-finite',
    'eval/generate/decoder',
    'eval/finetune/finetune',
    'cuda/loader',
    'cuda/device',
    'cuda/matmul',
    'emulator/engine',
  ],
  thread: [...native, ...device, 'train/loop'],
};

const compiler = process.env.CXX ?? 'g++';
const folder = join(root, 'build', 'sanitize', kind);
const tests = join(root, 'build', 'sanitize', `tests-${kind}`);

function run(program, list) {
  const { status, error } = spawnSync(program, list, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${program} ${error?.message ?? `ended with ${status}`}`);
}

/** Where the compiler keeps a library of its own. */
function library(name) {
  const { stdout } = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' });
  const path = stdout?.trim() ?? '';
  if (!existsSync(path)) throw new Error(`${compiler} has no ${name}: test:sanitize needs GCC with its sanitizers`);
  return path;
}

// One target of Highway instead of all: the others' code is the same source, and building it takes minutes.
const isa = process.arch === 'x64' ? '-march=haswell' : '';
const checks = thread ? '-fsanitize=thread' : '-fsanitize=address,undefined -fno-sanitize-recover=undefined';
const flags = `${checks} -fno-omit-frame-pointer ${isa} -DHWY_COMPILE_ONLY_STATIC`;
const generator = ['-G', 'Ninja', '-DCMAKE_BUILD_TYPE=Debug', '-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1'];

function build(source, to, options, ...targets) {
  const place = join(folder, to);
  run('cmake', ['-S', join(root, source), '-B', place, ...generator, `-DCMAKE_CXX_FLAGS=${flags}`, ...options]);
  run('cmake', ['--build', place, ...targets.flatMap((target) => ['--target', target])]);
}

build('.', 'cmake', [
  '-DAPOLLO_WITH_CUDA=OFF',
  '-DAPOLLO_WERROR=OFF',
  `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${join(folder, 'cmake', 'Release')}`,
]);
build('test/emulator', 'emulator', [], ...(quick || thread ? ['core_tests'] : []));
const at = `build/sanitize/${kind}`;
compileTests(tests, {
  'build/cmake': `${at}/cmake`,
  'build/emulator': `${at}/emulator`,
  ...Object.fromEntries(['dist', 'data', 'scripts'].map((path) => [path, path])),
});

// Node itself is built without a sanitizer, so its library comes first; libstdc++ next to it, because the functions that it
// watches must be there when it begins.
const preload = [library(thread ? 'libtsan.so' : 'libasan.so'), library('libstdc++.so.6')].join(':');
const suppressions = join(root, 'test', 'native', 'tsan-suppressions.txt');
const env = {
  ...process.env,
  LD_PRELOAD: preload,
  // V8 keeps what it allocates to the end and has its own handler of faults. Leaks of the engine are what
  // test/emulator/faults.test.ts counts; core_tests, a program without V8, looks for them itself.
  ASAN_OPTIONS: 'detect_leaks=0:allow_user_segv_handler=1:detect_stack_use_after_return=0:exitcode=99',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1:exitcode=99',
  TSAN_OPTIONS: `suppressions=${suppressions}:exitcode=99:halt_on_error=0:second_deadlock_stack=1`,
  // GNU's OpenMP synchronises by futexes that ThreadSanitizer does not see: with one thread there is nothing to see.
  ...(thread && { OMP_NUM_THREADS: '1', OMP_THREAD_LIMIT: '1' }),
};

const files = (quick ? suites.quick : suites[kind]).filter(
  (file) => parts.length === 0 || parts.some((part) => file.includes(part)),
);
// ThreadSanitizer's own memory is where random addresses would collide with it.
const command = thread ? ['setarch', '-R', process.execPath] : [process.execPath];
finish(runTests(tests, files, () => env, command));
