// The requests that planning a mirror of many tags takes, counted between the tool and the registry.
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Bench } from './bench.ts';
import { measure } from './measure.ts';

export interface PlanRequests {
  readonly tags: number;
  /** Into a place that has nothing, and into one that has every tag. */
  readonly fresh: number;
  readonly unchanged: number;
  /** Of the first. */
  readonly seconds: number;
}

const INDEX = 'application/vnd.oci.image.index.v1+json';

export async function measurePlan(bench: Bench, tags: number): Promise<PlanRequests> {
  for (const repository of ['plan/many', 'there/many']) await makeTags(bench, repository, tags);
  await using counter = await countingProxy(bench.registry);
  const plan = async (prefix: string) => {
    counter.count = 0;
    const { stdout, seconds } = await measure(bench.tool('skopeo'), [
      ...['sync', '--src', 'docker', '--dest', 'docker', '--scoped=false', '--all', '--plan', '-'],
      ...['--src-tls-verify=false', '--dest-tls-verify=false'],
      ...[`${counter.address}/plan/many`, `${counter.address}/${prefix}`],
    ]);
    const items = JSON.parse(stdout).items as { action: string }[];
    const creates = items.filter(({ action }) => action === 'create').length;
    return { requests: counter.count, creates, seconds };
  };
  const fresh = await plan('nowhere');
  const unchanged = await plan('there');
  if (fresh.creates !== tags || unchanged.creates !== 0) throw new Error('the plan is not what it should be');
  return { tags, fresh: fresh.requests, unchanged: unchanged.requests, seconds: fresh.seconds };
}

/** Tags of indexes that differ, so that each is its own manifest. */
async function makeTags(bench: Bench, repository: string, count: number): Promise<void> {
  const put = async (tag: number) => {
    const index = { schemaVersion: 2, mediaType: INDEX, manifests: [], annotations: { tag: `${tag}` } };
    const answer = await fetch(`http://${bench.registry}/v2/${repository}/manifests/t${tag}`, {
      method: 'PUT',
      headers: { 'content-type': INDEX },
      body: JSON.stringify(index),
    });
    if (answer.status !== 201) throw new Error(`putting a manifest: ${answer.status}`);
  };
  const numbers = Array.from({ length: count }, (_, at) => at);
  while (numbers.length > 0) await Promise.all(numbers.splice(0, 16).map(put));
}

interface Counter extends AsyncDisposable {
  readonly address: string;
  count: number;
}

async function countingProxy(registry: string): Promise<Counter> {
  const server = createServer((incoming, answer) => {
    counter.count += 1;
    const { method, url, headers } = incoming;
    const onward = request(`http://${registry}${url}`, { method, headers }, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const counter: Counter = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return counter;
}
