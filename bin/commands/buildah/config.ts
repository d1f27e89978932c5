import * as change from '../../../build/container/config.ts';
import type { WorkingContainer } from '../../../build/container/contract.ts';
import { saveContainer } from '../../../build/container/state.ts';
import { shellWords } from '../../../build/parse/shell-words.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { logLine } from '../../cli/log-line.ts';
import { oneArgument, usage } from './arguments.ts';
import { findContainer } from './containers-in-store.ts';
import { changeHealthcheck, HEALTHCHECK_FLAGS } from './healthcheck-flags.ts';
import { ADD_HISTORY_FLAG, withHistory } from './history.ts';
import { openSession, type Session } from './session.ts';

type Change = (container: WorkingContainer) => WorkingContainer;

const FLAGS: readonly FlagSpec[] = [
  ADD_HISTORY_FLAG,
  ...HEALTHCHECK_FLAGS,
  {
    name: 'annotation',
    short: 'a',
    kind: 'array',
    usage: 'set `NAME=VALUE` in the manifest; `NAME-` removes, `-` removes all',
  },
  { name: 'arch', kind: 'string', usage: 'architecture of the image' },
  { name: 'author', kind: 'string', usage: 'who made the image' },
  { name: 'cmd', kind: 'string', usage: 'default command, or arguments of the entrypoint' },
  { name: 'comment', kind: 'string', usage: 'comment of the image (Docker format)' },
  { name: 'created-by', kind: 'string', usage: 'what the history says of the new layer' },
  { name: 'domainname', kind: 'string', usage: 'domain name (Docker format)' },
  { name: 'entrypoint', kind: 'string', usage: 'entrypoint: a JSON array, or a command for the shell' },
  {
    name: 'env',
    short: 'e',
    kind: 'array',
    usage: 'set `NAME=VALUE`; `NAME` takes the own value, `NAME-` removes, `-` removes all',
  },
  { name: 'history-comment', kind: 'string', usage: 'comment of the history entry of the new layer' },
  { name: 'hostname', kind: 'string', usage: 'host name (Docker format)' },
  { name: 'label', short: 'l', kind: 'array', usage: 'set `NAME=VALUE`; `NAME-` removes, `-` removes all' },
  { name: 'onbuild', kind: 'array', usage: 'instruction for builds on this image (Docker format)' },
  { name: 'os', kind: 'string', usage: 'operating system of the image' },
  {
    name: 'os-feature',
    kind: 'array',
    usage: 'required feature of the operating system; `NAME-` removes, `-` removes all',
  },
  { name: 'os-version', kind: 'string', usage: 'required version of the operating system' },
  { name: 'port', short: 'p', kind: 'slice', usage: 'exposed port; `PORT-` removes, `-` removes all' },
  { name: 'shell', kind: 'string', usage: 'shell of later runs (kept in Docker format only)' },
  { name: 'stop-signal', kind: 'string', usage: 'signal that stops a container' },
  { name: 'unsetannotation', kind: 'slice', usage: 'remove an annotation' },
  { name: 'unsetlabel', kind: 'slice', usage: 'remove a label' },
  { name: 'user', short: 'u', kind: 'string', usage: 'default user, `USER[:GROUP]`' },
  { name: 'variant', kind: 'string', usage: 'variant of the architecture' },
  { name: 'volume', short: 'v', kind: 'slice', usage: 'volume; `PATH-` removes, `-` removes all' },
  { name: 'workingdir', kind: 'string', usage: 'working directory' },
];

export const config: CommandSpec = {
  name: 'config',
  summary: 'Change the image configuration of a working container',
  usage: '[flags] CONTAINER',
  examples: [
    'buildah config --author "Jane Doe" --env PATH=/usr/bin:/bin work',
    'buildah config --entrypoint \'["/usr/bin/app"]\' --port 8080 work',
  ],
  flags: FLAGS,
  interspersed: false,
  run: runConfig,
};

async function runConfig(context: CommandContext): Promise<void> {
  const name = oneArgument(context.args, 'container ID must be specified');
  await using session = await openSession(context);
  const container = await findContainer(session, name);
  await saveContainer(session.store, new Configuring(context, session, container).all());
}

/** Carries the container through the flags in Buildah's order, since history entries follow it. */
class Configuring {
  readonly #context: CommandContext;
  readonly #session: Session;
  #container: WorkingContainer;

  constructor(context: CommandContext, session: Session, container: WorkingContainer) {
    this.#context = context;
    this.#session = session;
    this.#container = container;
  }

  all(): WorkingContainer {
    this.#identity();
    this.#process();
    this.#environment();
    this.#commands();
    this.#volumes();
    this.#healthcheck();
    this.#labels();
    this.#rest();
    this.#annotations();
    return this.#container;
  }

  #apply(...changes: Change[]): void {
    this.#container = change.changeContainer(this.#container, ...changes);
  }

  #given(name: string): string | undefined {
    const { flags } = this.#context;
    return flags.changed(name) ? flags.string(name) : undefined;
  }

  /** Applies one flag's change where it was given, with its history entry. */
  #set(name: string, make: (value: string) => Change, instruction?: string): void {
    const value = this.#given(name);
    if (value === undefined) return;
    this.#apply(make(value));
    if (instruction) this.#history(`${instruction} ${value}`);
  }

  #history(instruction: string): void {
    this.#container = withHistory(this.#context, this.#container, `/bin/sh -c #(nop) ${instruction}`);
  }

  #warnDropped(what: Parameters<typeof change.droppedByOci>[1], value: string): void {
    const text = value === '' ? undefined : change.droppedByOci(this.#container.preferredFormat, what, value);
    if (text !== undefined) this.#session.warn(text);
  }

  #identity(): void {
    this.#set('author', change.setAuthor);
    this.#set('created-by', change.setCreatedBy);
    this.#set('arch', change.setArchitecture);
    this.#set('variant', change.setVariant);
    this.#set('os', change.setOperatingSystem);
    for (const feature of this.#context.flags.list('os-feature'))
      this.#apply(change.changeOsFeatures(feature));
    this.#set('os-version', change.setOsVersion);
  }

  #process(): void {
    this.#set('user', change.setUser, 'USER');
    const shell = this.#given('shell');
    if (shell !== undefined) {
      const words = parsedWords('shell', shell);
      this.#warnDropped('shell', shell);
      this.#apply(change.setShell(words));
      this.#history(`SHELL ${shell}`);
    }
    this.#set('stop-signal', change.setStopSignal, 'STOPSIGNAL');
    const { flags } = this.#context;
    if (!flags.changed('port')) return;
    for (const port of flags.list('port'))
      this.#apply(
        port.startsWith('-')
          ? change.clearPorts()
          : port.endsWith('-')
            ? change.removePort(port.slice(0, -1))
            : change.addPort(port),
      );
    this.#history(`EXPOSE ${flags.list('port').join(' ')}`);
  }

  #environment(): void {
    const { flags, io } = this.#context;
    for (const text of flags.list('env')) {
      const equals = text.indexOf('=');
      if (equals >= 0)
        this.#apply(change.setEnvironment(text.slice(0, equals), this.#expand(text.slice(equals + 1))));
      else if (text === '-') this.#apply(change.clearEnvironment());
      else if (text.endsWith('-')) this.#apply(change.unsetEnvironment(text.slice(0, -1)));
      else {
        const value = io.environment[text];
        if (!value) throw usage(`setting env "${text}": no value given`);
        this.#apply(change.setEnvironment(text, value));
      }
    }
    // Without --env too, as the original does: entries of histories are counted.
    this.#history(`ENV ${flags.list('env').join(' ')}`);
  }

  /** `$NAME` and `${NAME}` from the container's own environment, as Go's os.Expand; unknown names stay as their name. */
  #expand(text: string): string {
    const environment = this.#container.ociConfig.config?.Env ?? [];
    return text.replace(
      /\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*|[0-9*#$@!?-]))/g,
      (_whole, braced, plain) => {
        const name = (braced ?? plain) as string;
        const entry = environment.find((one) => one.startsWith(`${name}=`));
        if (entry !== undefined) return entry.slice(name.length + 1);
        logLine(this.#context, 'error', `error expanding variable "${name}": no value set in configuration`);
        return name;
      },
    );
  }

  #commands(): void {
    const entrypoint = this.#given('entrypoint');
    if (entrypoint !== undefined) {
      this.#entrypoint(entrypoint);
      this.#history(`ENTRYPOINT ${entrypoint}`);
    }
    const command = this.#given('cmd');
    if (command === undefined) return;
    const words = command.trim() === '' ? [] : (jsonWords(command) ?? parsedWords('cmd', command));
    this.#apply(change.setCommand(words));
    this.#history(`CMD ${command}`);
  }

  #entrypoint(text: string): void {
    if (text.trim() === '') {
      this.#apply(change.setEntrypoint(null));
      return;
    }
    const command = this.#container.ociConfig.config?.Cmd?.join(' ');
    const words = jsonWords(text);
    if (command)
      this.#session.warn(
        words
          ? `cmd "${command}" exists and will be passed to entrypoint as a parameter`
          : `cmd "${command}" exists but will be ignored because of entrypoint settings`,
      );
    this.#apply(change.setEntrypoint(words ?? ['/bin/sh', '-c', text]));
  }

  #volumes(): void {
    for (const volume of this.#context.flags.list('volume')) {
      this.#apply(
        volume === '-'
          ? change.clearVolumes()
          : volume.endsWith('-')
            ? change.removeVolume(volume.slice(0, -1))
            : change.addVolume(volume),
      );
      this.#history(`VOLUME ${volume}`);
    }
  }

  #healthcheck(): void {
    const changed = changeHealthcheck(this.#context.flags, this.#container.dockerConfig.config?.Healthcheck);
    if (!changed) return;
    if (changed.check) this.#warnDropped('healthcheck', 'x');
    this.#apply(change.setHealthcheck(changed.check));
    this.#history(`HEALTHCHECK ${changed.history}`);
  }

  #labels(): void {
    const { flags } = this.#context;
    for (const text of flags.list('label')) {
      const equals = text.indexOf('=');
      if (equals >= 0) this.#apply(change.setLabel(text.slice(0, equals), text.slice(equals + 1)));
      else if (text === '-') this.#apply(change.clearLabels());
      else if (text.endsWith('-')) this.#apply(change.unsetLabel(text.slice(0, -1)));
      else this.#apply(change.setLabel(text, ''));
    }
    if (flags.changed('label')) this.#history(`LABEL ${flags.list('label').join(' ')}`);
    for (const name of flags.list('unsetlabel')) this.#apply(change.unsetLabel(name));
    for (const name of flags.list('unsetannotation')) this.#apply(change.unsetAnnotation(name));
  }

  #rest(): void {
    this.#set('workingdir', change.setWorkingDirectory, 'WORKDIR');
    const comment = this.#given('comment');
    if (comment !== undefined) {
      this.#warnDropped('comment', comment);
      this.#apply(change.setComment(comment));
    }
    this.#set('history-comment', change.setHistoryComment);
    const domain = this.#given('domainname');
    if (domain !== undefined) {
      this.#warnDropped('domainname', domain);
      this.#apply(change.setDomainname(domain));
    }
    const host = this.#given('hostname');
    if (host !== undefined) {
      if (host && this.#container.preferredFormat === 'oci')
        this.#session.warn(
          `HOSTNAME is not supported for OCI V1 image format, hostname ${host} will be ignored. Must use \`docker\` format`,
        );
      this.#apply(change.setHostname(host));
    }
    for (const instruction of this.#context.flags.list('onbuild')) {
      this.#warnDropped('onbuild', instruction);
      this.#apply(change.addOnBuild(instruction));
      this.#history(`ONBUILD ${instruction}`);
    }
  }

  #annotations(): void {
    for (const text of this.#context.flags.list('annotation')) {
      const equals = text.indexOf('=');
      if (equals >= 0) this.#apply(change.setAnnotation(text.slice(0, equals), text.slice(equals + 1)));
      else if (text === '-') this.#apply(change.clearAnnotations());
      else if (text.endsWith('-')) this.#apply(change.unsetAnnotation(text.slice(0, -1)));
      else this.#apply(change.setAnnotation(text, ''));
    }
  }
}

function parsedWords(flag: string, text: string): string[] {
  try {
    return shellWords(text);
  } catch (cause) {
    throw usage(`parsing --${flag} ${JSON.stringify(text)}: ${(cause as Error).message}`);
  }
}

function jsonWords(text: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((word) => typeof word === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}
