import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { SpecSeccomp } from '../../../build/run/runtime-spec.ts';
import { BUILT_IN_PROFILE } from '../../../build/run/seccomp-default.ts';
import { compileSeccomp } from '../../../build/run/seccomp-filter.ts';
import { resolveProfile } from '../../../build/run/seccomp-profile.ts';

const test = suite('seccomp filter');

const X64 = 0xc000_003e;
const IA32 = 0x4000_0003;
const ARM64 = 0xc000_00b7;
const ALLOW = 0x7fff_0000;
const errno = (number: number) => 0x0005_0000 | number;

/** Runs a program as the kernel does (Documentation/networking/filter.rst), for the opcodes that are used. */
function verdict(program: Buffer, arch: number, number: number, args: readonly bigint[] = []): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(arch >>> 0, 4);
  for (const [index, value] of args.entries())
    data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + 8 * index);
  let a = 0;
  for (let at = 0; at < program.length / 8; at += 1) {
    const [code, yes, no, k] = [
      program.readUInt16LE(at * 8),
      program.readUInt8(at * 8 + 2),
      program.readUInt8(at * 8 + 3),
      program.readUInt32LE(at * 8 + 4),
    ];
    if (code === 0x06) return k;
    else if (code === 0x20) a = data.readUInt32LE(k);
    else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x05) at += k;
    else if (code === 0x15) at += a === k ? yes : no;
    else if (code === 0x25) at += a > k ? yes : no;
    else if (code === 0x35) at += a >= k ? yes : no;
    else throw new Error(`opcode ${code}`);
  }
  throw new Error('ran off the end');
}

const deny: SpecSeccomp = { defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38 };
const one = (op: string, value: number, valueTwo?: number): SpecSeccomp => ({
  ...deny,
  syscalls: [{ names: ['write'], action: 'SCMP_ACT_ALLOW', args: [{ index: 1, op, value, valueTwo }] }],
});
const BIG = 2n ** 32n;
const COMPARISONS: readonly (readonly [
  string,
  number,
  number | undefined,
  readonly bigint[],
  readonly bigint[],
])[] = [
  ['SCMP_CMP_EQ', 5, undefined, [5n], [4n, 6n, BIG + 5n, 0n]],
  ['SCMP_CMP_NE', 5, undefined, [4n, BIG + 5n, 0n], [5n]],
  ['SCMP_CMP_GT', 5, undefined, [6n, BIG, BIG * 3n], [5n, 4n, 0n]],
  ['SCMP_CMP_GE', 5, undefined, [5n, 6n, BIG], [4n, 0n]],
  ['SCMP_CMP_LT', 5, undefined, [4n, 0n], [5n, 6n, BIG]],
  ['SCMP_CMP_LE', 5, undefined, [5n, 0n], [6n, BIG, BIG + 1n]],
  ['SCMP_CMP_GT', 2 ** 33, undefined, [BIG * 2n + 1n, BIG * 3n], [BIG * 2n, BIG, 7n]],
  ['SCMP_CMP_MASKED_EQ', 0xff00, 0x1200, [0x1200n, 0x12ffn, BIG * 9n + 0x1234n], [0x1300n, 0n]],
];
for (const [op, value, valueTwo, yes, no] of COMPARISONS) {
  test(`${op} ${value}`, () => {
    const program = compileSeccomp(one(op, value, valueTwo), 'x64');
    for (const arg of yes) assert.equal(verdict(program, X64, 1, [0n, arg]), ALLOW, `${arg} should pass`);
    for (const arg of no)
      assert.equal(verdict(program, X64, 1, [0n, arg]), errno(38), `${arg} should not pass`);
  });
}

test('all conditions of a rule must hold; several rules are alternatives', () => {
  const arg = (index: number, value: number) => ({ index, op: 'SCMP_CMP_EQ', value });
  const program = compileSeccomp(
    {
      ...deny,
      syscalls: [
        { names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: 22, args: [arg(0, 16), arg(2, 9)] },
        { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: [arg(0, 16)] },
        { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: [arg(0, 1), arg(0, 2)] },
      ],
    },
    'x64',
  );
  const socket = (domain: bigint, protocol: bigint) => verdict(program, X64, 41, [domain, 0n, protocol]);
  assert.equal(socket(16n, 9n), errno(22));
  assert.equal(socket(16n, 0n), ALLOW);
  assert.equal(socket(2n, 0n), ALLOW);
  assert.equal(socket(10n, 0n), errno(38));
});

test('every listed architecture has its own numbers; others are refused', () => {
  const program = compileSeccomp(
    {
      ...deny,
      architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
      syscalls: [{ names: ['getpid', 'nosuchcall'], action: 'SCMP_ACT_ALLOW' }],
    },
    'x64',
  );
  assert.equal(verdict(program, X64, 39), ALLOW);
  assert.equal(verdict(program, X64, 39 + 0x4000_0000), ALLOW);
  assert.equal(verdict(program, X64, 20), errno(38));
  assert.equal(verdict(program, IA32, 20), ALLOW);
  assert.equal(verdict(program, ARM64, 172), errno(38));
  assert.equal(verdict(program, X64, -1), errno(38));
});

test('without x32 its numbers get the default action', () => {
  const program = compileSeccomp(
    { ...deny, syscalls: [{ names: ['getpid'], action: 'SCMP_ACT_ALLOW' }] },
    'x64',
  );
  assert.equal(verdict(program, X64, 39 + 0x4000_0000), errno(38));
});

test('arm64 has its numbers', () => {
  const program = compileSeccomp(
    { ...deny, syscalls: [{ names: ['getpid'], action: 'SCMP_ACT_ALLOW' }] },
    'arm64',
  );
  assert.equal(verdict(program, ARM64, 172), ALLOW);
  assert.equal(verdict(program, X64, 39), errno(38));
});

test('the built-in profile: daily calls pass, dangerous ones need their capability', () => {
  const without = compileSeccomp(resolveProfile(BUILT_IN_PROFILE, []), 'x64');
  const mount = compileSeccomp(resolveProfile(BUILT_IN_PROFILE, ['CAP_SYS_ADMIN']), 'x64');
  for (const number of [0, 1, 9, 56, 59, 257, 435]) assert.equal(verdict(without, X64, number), ALLOW);
  const [keyctl, bpf, kexec, uring, reboot] = [250, 321, 246, 425, 169];
  for (const number of [keyctl, kexec, uring]) assert.equal(verdict(without, X64, number), errno(38));
  assert.equal(verdict(without, X64, bpf), errno(1));
  assert.equal(verdict(mount, X64, bpf), ALLOW);
  assert.equal(verdict(without, X64, reboot), errno(1));
  assert.equal(verdict(without, X64, 135, [0xffff_ffffn]), ALLOW);
  assert.equal(verdict(without, X64, 135, [0x40000n]), errno(38));
});

test('unknown actions, comparisons and processors are errors', () => {
  assert.throws(() => compileSeccomp({ defaultAction: 'SCMP_ACT_MAYBE' }, 'x64'), { code: 'bad-option' });
  assert.throws(() => compileSeccomp(one('SCMP_CMP_ALMOST', 1), 'x64'), { code: 'bad-option' });
  assert.throws(() => compileSeccomp(deny, 's390x'), { code: 'unsupported' });
});

test.run();
