import { BuildError } from '../error.ts';
import type { SpecSeccomp, SpecSyscallRule } from './runtime-spec.ts';
import { type SyscallTable, syscallNames } from './seccomp-syscalls.ts';

/** One instruction of classic BPF (linux/filter.h): opcode, jumps when true and false, operand. */
type Instruction = readonly [code: number, yes: number, no: number, operand: number];

const LOAD = 0x20; // ld [k]
const AND = 0x54; // a &= k
const JUMP = 0x05; // ja k
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_AT_LEAST = 0x35;
const RETURN = 0x06;

/** Offsets in struct seccomp_data (linux/seccomp.h). */
const NUMBER_OFFSET = 0;
const ARCHITECTURE_OFFSET = 4;
const argumentOffset = (index: number, high: boolean) => 16 + 8 * index + (high ? 4 : 0);

const X32_BIT = 0x4000_0000;
const LONGEST = 4096;
const ENOSYS = 38;
const EPERM = 1;

/** AUDIT_ARCH values (linux/audit.h) and the numbers that hold under them. */
interface Machine {
  readonly audit: number;
  readonly table: SyscallTable;
  /** Added to every number: x32 shares the table of x86-64. */
  readonly offset: number;
}
const MACHINES: Readonly<Record<string, Machine>> = {
  SCMP_ARCH_X86_64: { audit: 0xc000_003e, table: 'x64', offset: 0 },
  SCMP_ARCH_X32: { audit: 0xc000_003e, table: 'x64', offset: X32_BIT },
  SCMP_ARCH_X86: { audit: 0x4000_0003, table: 'ia32', offset: 0 },
  SCMP_ARCH_AARCH64: { audit: 0xc000_00b7, table: 'arm64', offset: 0 },
};
const NATIVE: Readonly<Record<string, string>> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/**
 * Compiles a seccomp configuration to a BPF program for seccomp(2), an array of struct sock_filter. System calls of
 * architectures that are not listed, or not known here, fail with ENOSYS.
 * @throws BuildError `unsupported` on processors that this compiler does not know, or for actions that need an agent
 */
export function compileSeccomp(profile: SpecSeccomp, arch: string = process.arch): Buffer {
  const native = NATIVE[arch];
  if (native === undefined)
    throw new BuildError('unsupported', `seccomp filters of chroot isolation are not available on ${arch}`, {
      hint: 'Use an OCI runtime, or --security-opt seccomp=unconfined.',
    });
  const names = [...new Set([native, ...(profile.architectures ?? [])])];
  const byAudit = Map.groupBy(
    names.flatMap((name) => MACHINES[name] ?? []),
    (machine) => machine.audit,
  );
  const program: Instruction[] = [[LOAD, 0, 0, ARCHITECTURE_OFFSET]];
  for (const [audit, machines] of byAudit) {
    const block: Instruction[] = [[LOAD, 0, 0, NUMBER_OFFSET]];
    const found = ranges(profile, machines);
    search(found, 0, found.length, block);
    program.push([JUMP_EQUAL, 1, 0, audit], [JUMP, 0, 0, block.length], ...block);
  }
  program.push([RETURN, 0, 0, actionCode('SCMP_ACT_ERRNO', ENOSYS)]);
  if (program.length > LONGEST)
    throw new BuildError('unsupported', 'the seccomp profile is too long for one filter');
  return encode(program);
}

function encode(program: readonly Instruction[]): Buffer {
  // The processors that are known here are little-endian, as the kernel wants the words of its own.
  const words = new Uint32Array(program.length * 2);
  let at = 0;
  for (const [code, yes, no, operand] of program) {
    words[at++] = code | (yes << 16) | (no << 24);
    words[at++] = operand;
  }
  return Buffer.from(words.buffer);
}

/** Code that decides about all numbers from `start` to the next range's start. One verdict is one array object. */
interface Range {
  readonly start: number;
  readonly code: readonly Instruction[];
}

/** Neighbouring numbers with one verdict become one range. */
function ranges(profile: SpecSeccomp, machines: readonly Machine[]): Range[] {
  const rules = rulesByName(profile);
  const verdictOf = verdictMaker(profile);
  // On x86-64 without x32 the numbers of x32 lie above all others and get the default like any unknown number.
  const otherwise = verdictOf([]);
  const found: Range[] = [{ start: 0, code: otherwise }];
  for (const { table, offset } of machines.toSorted((a, b) => a.offset - b.offset)) {
    const names = syscallNames(table);
    for (let number = 0; number < names.length; number += 1) {
      const own = rules.get(names[number] ?? '');
      append(found, offset + number, own ? verdictOf(own) : otherwise);
    }
    append(found, offset + names.length, otherwise);
  }
  return found;
}

function append(found: Range[], start: number, code: readonly Instruction[]): void {
  const last = found.at(-1);
  if (last?.code === code) return;
  if (last?.start === start) found.pop();
  if (found.at(-1)?.code !== code) found.push({ start, code });
}

/** Makes the code of a list of rules; equal lists give the same object. */
function verdictMaker(profile: SpecSeccomp): (rules: readonly SpecSyscallRule[]) => readonly Instruction[] {
  const made = new Map<string, readonly Instruction[]>();
  const known = new Map<readonly SpecSyscallRule[], readonly Instruction[]>();
  const otherwise: Instruction = [RETURN, 0, 0, actionCode(profile.defaultAction, profile.defaultErrnoRet)];
  const make = (rules: readonly SpecSyscallRule[]) => {
    const key = rules.map((rule) => JSON.stringify([rule.action, rule.errnoRet, rule.args])).join();
    const there = made.get(key);
    if (there) return there;
    const code = [...rules.flatMap(ruleCode), otherwise];
    // Nothing behind an unconditional return can be reached.
    const verdict = code[0]?.[0] === RETURN ? code.slice(0, 1) : code;
    made.set(key, verdict);
    return verdict;
  };
  return (rules) => {
    const verdict = known.get(rules) ?? make(rules);
    known.set(rules, verdict);
    return verdict;
  };
}

/** Names with one rule, which a few rules have hundreds of, share one list. */
function rulesByName(profile: SpecSeccomp): Map<string, readonly SpecSyscallRule[]> {
  const rules = new Map<string, readonly SpecSyscallRule[]>();
  for (const rule of profile.syscalls ?? []) {
    const alone = [rule];
    for (const name of rule.names) {
      const list = rules.get(name);
      rules.set(name, list ? [...list, rule] : alone);
    }
  }
  // As libseccomp: a rule without conditions covers those with; among equals the first counts.
  for (const [name, list] of rules) {
    if (list.length === 1) continue;
    const plain = list.find((rule) => !rule.args?.length);
    if (plain) rules.set(name, [plain]);
  }
  return rules;
}

/** Binary search over the ranges from `first` to before `end`, put behind `into`; each leaf returns. */
function search(found: readonly Range[], first: number, end: number, into: Instruction[]): void {
  if (end - first === 1) {
    for (const instruction of found[first]?.code ?? []) into.push(instruction);
    return;
  }
  const middle = first + ((end - first) >> 1);
  into.push([JUMP_AT_LEAST, 0, 1, found[middle]?.start ?? 0]);
  const jump = into.push([JUMP, 0, 0, 0]) - 1;
  search(found, first, middle, into);
  into[jump] = [JUMP, 0, 0, into.length - jump - 1];
  search(found, middle, end, into);
}

/** A rule returns its action when all its conditions hold and falls through otherwise. */
function ruleCode(rule: SpecSyscallRule): Instruction[] {
  const verdict: Instruction = [RETURN, 0, 0, actionCode(rule.action, rule.errnoRet)];
  const args = rule.args ?? [];
  // Several conditions on one argument are alternatives, as runc and Buildah read them.
  const indexes = new Set(args.map((arg) => arg.index));
  if (indexes.size < args.length) return args.flatMap((arg) => conditional([arg], verdict));
  return conditional(args, verdict);
}

type Condition = NonNullable<SpecSyscallRule['args']>[number];

function conditional(conditions: readonly Condition[], verdict: Instruction): Instruction[] {
  const code = [verdict];
  for (const condition of conditions.toReversed()) code.unshift(...compare(condition, code.length));
  return code;
}

/** Compares a 64-bit argument; goes on when true, skips the `skip` instructions behind it when false. */
function compare({ index, op, value, valueTwo }: Condition, skip: number): Instruction[] {
  const [wanted, mask] =
    op === 'SCMP_CMP_MASKED_EQ' ? [BigInt(valueTwo ?? 0), BigInt(value)] : [BigInt(value), ~0n];
  const half = (number: bigint, high: boolean) => Number((high ? number >> 32n : number) & 0xffff_ffffn);
  const load = (high: boolean): Instruction[] => {
    const fetched: Instruction = [LOAD, 0, 0, argumentOffset(index, high)];
    return half(mask, high) === 0xffff_ffff ? [fetched] : [fetched, [AND, 0, 0, half(mask, high)]];
  };
  const high = half(wanted, true);
  const low = half(wanted, false);
  const second = load(false);
  const n = second.length;
  switch (op) {
    case 'SCMP_CMP_EQ':
    case 'SCMP_CMP_MASKED_EQ':
      return [...load(true), [JUMP_EQUAL, 0, n + 1 + skip, high], ...second, [JUMP_EQUAL, 0, skip, low]];
    case 'SCMP_CMP_NE':
      return [...load(true), [JUMP_EQUAL, 0, n + 1, high], ...second, [JUMP_EQUAL, skip, 0, low]];
    case 'SCMP_CMP_GT':
    case 'SCMP_CMP_GE': {
      const last = op === 'SCMP_CMP_GT' ? JUMP_GREATER : JUMP_AT_LEAST;
      return [
        ...load(true),
        [JUMP_GREATER, n + 2, 0, high],
        [JUMP_EQUAL, 0, n + 1 + skip, high],
        ...second,
        [last, 0, skip, low],
      ];
    }
    case 'SCMP_CMP_LT':
    case 'SCMP_CMP_LE': {
      const last = op === 'SCMP_CMP_LT' ? JUMP_AT_LEAST : JUMP_GREATER;
      return [
        ...load(true),
        [JUMP_GREATER, n + 2 + skip, 0, high],
        [JUMP_EQUAL, 0, n + 1, high],
        ...second,
        [last, skip, 0, low],
      ];
    }
    default:
      throw new BuildError('bad-option', `the seccomp profile has an unknown comparison "${op}"`);
  }
}

const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_ALLOW: 0x7fff_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
};

function actionCode(action: string, errno: number | undefined): number {
  if (action === 'SCMP_ACT_ERRNO') return 0x0005_0000 | ((errno ?? EPERM) & 0xffff);
  if (action === 'SCMP_ACT_TRACE') return 0x7ff0_0000 | ((errno ?? EPERM) & 0xffff);
  const code = ACTIONS[action];
  if (code !== undefined) return code;
  throw new BuildError('bad-option', `the seccomp profile has an unknown action "${action}"`);
}
