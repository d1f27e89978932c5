/** How a program is run that gives a network namespace a way out. */
export interface Attempt {
  readonly words: readonly string[];
  /** Resolvers that it offers. */
  readonly resolvers: readonly string[];
  /** Address by which containers reach the host through it; absent: any of the host's. */
  readonly host?: string;
}

/** A user-mode network stack that is given a namespace by the id of a process in it. */
export interface UserStack {
  readonly name: string;
  /** The first that works is kept. */
  readonly attempts: (pid: number, options: readonly string[]) => readonly Attempt[];
}

/** Addresses are those that containers/common chooses for pasta, and that the manual of slirp4netns gives. */
const PASTA_RESOLVER = '169.254.1.1';
const PASTA_HOST = '169.254.1.2';
const SLIRP_RESOLVER = '10.0.2.3';

export const PASTA: UserStack = {
  name: 'pasta',
  attempts: (pid, options) => {
    const resolvers = valuesOf('--dns-forward', options);
    const [host] = valuesOf('--map-guest-addr', options);
    const words = [...pastaWords(options), '--netns', `/proc/${pid}/ns/net`];
    const plain = { words, resolvers: resolvers.length > 0 ? resolvers : [PASTA_RESOLVER] };
    if (host !== undefined) return [{ ...plain, host }];
    // Versions before 2024-08-14 do not know the option.
    return [{ ...plain, words: [...words, '--map-guest-addr', PASTA_HOST], host: PASTA_HOST }, plain];
  },
};

const SLIRP4NETNS: UserStack = {
  name: 'slirp4netns',
  attempts: (pid) => [
    {
      words: ['--configure', '--mtu=65520', '--disable-host-loopback', String(pid), 'tap0'],
      resolvers: [SLIRP_RESOLVER],
    },
  ],
};

export const USER_STACKS: readonly UserStack[] = [PASTA, SLIRP4NETNS];

/** What is forwarded unless the options say so: nothing. Short and long names of an option, and what it forwards. */
const PORTS = [
  ['-t', '--tcp-ports'],
  ['-u', '--udp-ports'],
  ['-T', '--tcp-ns'],
  ['-U', '--udp-ns'],
] as const;
const LOUD = ['-d', '--debug', '--trace'];
/** Not an option of pasta but containers.conf's word for leaving one out. */
const MAP_GATEWAY = '--map-gw';

/** The options that containers/common gives to pasta, beside those of the user. */
function pastaWords(options: readonly string[]): string[] {
  const given = options.filter((option) => option !== MAP_GATEWAY);
  return [
    '--config-net',
    ...given,
    ...(given.includes('--dns-forward') ? [] : ['--dns-forward', PASTA_RESOLVER]),
    ...PORTS.flatMap(([short, long]) =>
      given.includes(short) || given.includes(long) ? [] : [short, 'none'],
    ),
    ...(given.length < options.length ? [] : ['--no-map-gw']),
    ...(given.some((option) => LOUD.includes(option)) ? [] : ['--quiet']),
    '--foreground',
    // As root it would become `nobody`, who may not enter the namespace.
    ...(process.getuid?.() === 0 ? ['--runas', '0'] : []),
  ];
}

function valuesOf(name: string, options: readonly string[]): string[] {
  return options.filter((_option, index) => options[index - 1] === name);
}
