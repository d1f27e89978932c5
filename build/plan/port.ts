import { BuildError } from '../error.ts';

/** `80`, `80/udp`, `8000-8010` as config keys: `80/tcp`. @throws BuildError `syntax` */
export function normalizePort(text: string): string {
  const [port = '', protocol] = text.split('/');
  if (port === '' || /\s/.test(text)) throw new BuildError('syntax', `invalid containerPort: ${text}`);
  return `${port}/${protocol || 'tcp'}`;
}
