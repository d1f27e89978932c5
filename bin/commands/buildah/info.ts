import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { cpus, hostname, release, uptime } from 'node:os';
import { detectIsolation } from '../../../build/run/detect.ts';
import { runtimeAdvice } from '../../../build/run/runtime-advice.ts';
import { goJsonText } from '../../../image/go-json.ts';
import { platformOf } from '../../../image/platform.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { renderTemplate } from '../../cli/template/evaluate.ts';
import { packageVersion } from '../../cli/version.ts';
import { usage } from './arguments.ts';
import { containersConfig } from './containers-conf.ts';
import { BUILDAH_LEVEL } from './registry-flags.ts';
import { openSession, type Session } from './session.ts';

export const info: CommandSpec = {
  name: 'info',
  summary: 'Show facts about this machine and its storage',
  usage: '[flags]',
  flags: [
    { name: 'debug', short: 'd', kind: 'bool', usage: 'show versions too' },
    { name: 'format', kind: 'string', usage: 'print by this Go `TEMPLATE`' },
  ],
  args: { max: 0 },
  run: runInfo,
};

async function runInfo(context: CommandContext): Promise<void> {
  const { flags, io } = context;
  const format = flags.string('format');
  if (format && !/\{\{.*\}\}/s.test(format)) throw usage(`invalid format provided: ${format}`);
  await using session = await openSession(context);
  const data = new Map<string, unknown>([
    ['host', await hostFacts(context)],
    ['store', await storeFacts(session)],
    ...(flags.bool('debug') ? ([['debug', debugFacts()]] as const) : []),
  ]);
  if (format === '') context.print(goJsonText(data, '    '));
  else io.stdout.write(`${renderTemplate(format, data)}${io.stdout.isTTY ? '\n' : ''}`);
}

async function hostFacts(context: CommandContext): Promise<Map<string, unknown>> {
  const { environment } = context.io;
  const { engine } = await containersConfig(context);
  const { os, architecture, variant } = platformOf(process.platform, process.arch);
  const memory = memoryFacts();
  return new Map<string, unknown>([
    ['Distribution', distribution()],
    ['MemFree', memory.get('MemFree') ?? 0],
    ['MemTotal', memory.get('MemTotal') ?? 0],
    ['OCIRuntime', environment.BUILDAH_RUNTIME || engine.runtime || findRuntime(environment.PATH ?? '')],
    ['SwapFree', memory.get('SwapFree') ?? 0],
    ['SwapTotal', memory.get('SwapTotal') ?? 0],
    ['arch', architecture],
    ['cpus', cpus().length],
    ['hostname', hostname()],
    ['isolation', isolationFacts()],
    ['kernel', release()],
    ['os', os],
    ['rootless', process.geteuid?.() !== 0 || Boolean(environment._CONTAINERS_USERNS_CONFIGURED)],
    ['uptime', uptimeText(uptime())],
    ['variant', variant ?? ''],
  ]);
}

/** Beyond the original: what RUN can use here, `ok` or why not, and whether the runtime is one to rely on. */
function isolationFacts(): Map<string, string> {
  const { reports } = detectIsolation();
  const runtime = reports.find((report) => report.runtime)?.runtime;
  const advice = runtime && runtimeAdvice(runtime);
  return new Map([
    ...(advice ? ([['advice', advice]] as const) : []),
    ...reports.map(({ kind, works, reason }) => [kind, works ? 'ok' : (reason ?? 'unavailable')] as const),
  ]);
}

function uptimeText(seconds: number): string {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const text = `${hours ? `${hours}h ` : ''}${minutes}m ${(seconds % 60).toFixed(2)}s`;
  return hours ? `${text} (Approximately ${(hours / 24).toFixed(2)} days)` : text;
}

function memoryFacts(): ReadonlyMap<string, number> {
  const text = existsSync('/proc/meminfo') ? readFileSync('/proc/meminfo', 'utf8') : '';
  return new Map(
    [...text.matchAll(/^(\w+):\s+(\d+) kB$/gm)].map((match) => [match[1] as string, Number(match[2]) * 1024]),
  );
}

function distribution(): Map<string, string> {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const value = (name: string) =>
    new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1]?.replace(/^"|"$/g, '') ?? 'unknown';
  return new Map([
    ['distribution', value('ID')],
    ['version', value('VERSION_ID')],
  ]);
}

function findRuntime(path: string): string {
  for (const name of ['crun', 'runc'])
    if (path.split(':').some((directory) => existsSync(`${directory}/${name}`))) return name;
  return '';
}

async function storeFacts({ store }: Session): Promise<Map<string, unknown>> {
  const images = await store.images.list();
  const containers = await store.containers.list();
  return new Map<string, unknown>([
    ['ContainerStore', new Map([['number', containers.length]])],
    ['GraphDriverName', store.driver],
    ['GraphImageStore', ''],
    ['GraphOptions', store.graphOptions.length ? store.graphOptions : null],
    ['GraphRoot', store.graphRoot],
    ['GraphStatus', store.driver === 'overlay' ? overlayFacts(store.graphRoot) : new Map()],
    ['GraphTransientStore', false],
    ['ImageStore', new Map([['number', images.length]])],
    ['RunRoot', store.runRoot],
  ]);
}

const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'extfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
  801189825: 'zfs',
  4076150800: 'f2fs',
  26985: 'nfs',
};

function overlayFacts(graphRoot: string): Map<string, string> {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const kernel = major * 1000 + minor;
  return new Map([
    ['Backing Filesystem', FILE_SYSTEMS[statfsSync(graphRoot).type] ?? '<unknown>'],
    ['Native Overlay Diff', 'true'],
    // The store mounts no directories otherwise.
    ['Supports d_type', 'true'],
    ['Supports shifting', String(process.geteuid?.() === 0 && kernel >= 5019)],
    ['Supports volatile', String(kernel >= 5010)],
    ['Using metacopy', 'false'],
  ]);
}

function debugFacts(): Map<string, unknown> {
  return new Map([
    ['buildah version', BUILDAH_LEVEL],
    ['compiler', 'node'],
    ['git commit', `slipway ${packageVersion()}`],
    ['go version', `node ${process.version}`],
  ]);
}
