/** The PyTorch process a step is compared with: started once, it does steps when asked, so that both take turns. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = new URL('./torch_step.py', import.meta.url);

/** Python with these modules: $APOLLO_PEER_PYTHON or $APOLLO_PYTHON, else python3; undefined when it lacks one. */
export function findPeerPython(modules: readonly string[] = ['torch']): string | undefined {
  const python = process.env.APOLLO_PEER_PYTHON ?? process.env.APOLLO_PYTHON ?? 'python3';
  return spawnSync(python, ['-c', `import ${modules.join(', ')}`]).status === 0 ? python : undefined;
}

/** Plain modules or the classes of the transformers package, each as they are or compiled. */
export type PeerVariant = 'eager' | 'compile' | 'huggingface' | 'huggingface-compile';

const variantFlags: Readonly<Record<PeerVariant, readonly string[]>> = {
  eager: [],
  compile: ['--compile'],
  huggingface: ['--hugging-face'],
  'huggingface-compile': ['--hugging-face', '--compile'],
};

export class Peer {
  private readonly answers: AsyncIterator<string>;
  private complaints = '';

  private constructor(
    readonly name: string,
    /** Sequences per step. */
    readonly batch: number,
    private readonly child: ChildProcessWithoutNullStreams,
    lines: Interface,
  ) {
    this.answers = lines[Symbol.asyncIterator]();
    child.stderr.on('data', (chunk) => {
      this.complaints = (this.complaints + chunk).slice(-2000);
    });
  }

  /** `options` become flags of torch_step.py. */
  static start(
    python: string,
    variant: PeerVariant,
    options: Readonly<Record<string, string | number>> & { readonly batch: number },
  ): Peer {
    return Peer.launch(python, script, variant, options, variantFlags[variant]);
  }

  /** A peer of another script that speaks as torch_step.py does; `options` become its flags. */
  static launch(
    python: string,
    file: URL,
    name: string,
    options: Readonly<Record<string, string | number>> & { readonly batch: number },
    flags: readonly string[] = [],
  ): Peer {
    const args = Object.entries(options).flatMap(([option, value]) => [`--${option}`, String(value)]);
    return Peer.of(name, options.batch, python, [fileURLToPath(file), ...args, ...flags]);
  }

  /** Any program that speaks so. */
  static of(name: string, batch: number, program: string, args: readonly string[]): Peer {
    // Settings made for other BLAS users would slow the peer down.
    const { OPENBLAS_CORETYPE: _, OPENBLAS_L2_SIZE: __, ...env } = process.env;
    const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => {}); // it has died; the next answer says so
    return new Peer(name, batch, child, createInterface(child.stdout));
  }

  /** Times of `steps` steps, ms. @throws Error when the peer has died. */
  async run(steps: number): Promise<number[]> {
    return (await this.ask(`run ${steps}`)).stepMs as number[];
  }

  async end(): Promise<{ peakBytes: number; version: string }> {
    return (await this.ask('end')) as { peakBytes: number; version: string };
  }

  private async ask(command: string): Promise<Record<string, unknown>> {
    this.child.stdin.write(`${command}\n`);
    const { value, done } = await this.answers.next();
    if (done) {
      const reason = this.complaints.trimEnd().split('\n').at(-1) ?? '';
      throw new Error(`the peer "${this.name}" ended: ${reason.slice(0, 200)}`);
    }
    return JSON.parse(value) as Record<string, unknown>;
  }
}
