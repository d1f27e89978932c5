import { readFileSync } from 'node:fs';

const table = (pid: number, name: string) =>
  readFileSync(`/proc/${pid}/net/${name}`, 'utf8').trimEnd().split('\n');

/** Whether packets leave the network namespace of a process, by IPv4 or IPv6 (proc_pid_net(5)). */
export function hasDefaultRoute(pid: number): boolean {
  const isDefault = (line: string) => line.split('\t')[1] === '00000000';
  return table(pid, 'route').slice(1).some(isDefault) || table(pid, 'ipv6_route').some(isDefaultOfIpv6);
}

function isDefaultOfIpv6(line: string): boolean {
  const [destination = '', length, ...rest] = line.trim().split(/\s+/);
  return /^0{32}$/.test(destination) && length === '00' && rest.at(-1) !== 'lo';
}

/** Addresses of a process's network namespace that others can reach: IPv4 first, no loopback, no link-local IPv6. */
export function namespaceAddresses(pid: number): string[] {
  const ipv4 = table(pid, 'fib_trie').flatMap((line, index, lines) => {
    const [, address] = /^\s*\|-- (\S+)$/.exec(line) ?? [];
    return address && !address.startsWith('127.') && isLocal(lines[index + 1]) ? [address] : [];
  });
  return [...new Set([...ipv4, ...ipv6Addresses(pid)])];
}

/** The trie lists an address of the namespace's own as a local host route. */
function isLocal(line = ''): boolean {
  return line.trim() === '/32 host LOCAL';
}

const GLOBAL_SCOPE = '00';

function ipv6Addresses(pid: number): string[] {
  return table(pid, 'if_inet6').flatMap((line) => {
    const [digits = '', , , scope] = line.trim().split(/\s+/);
    if (digits.length !== 32 || scope !== GLOBAL_SCOPE) return [];
    const groups = digits.match(/.{4}/g) ?? [];
    return [new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)];
  });
}
