import { deepEqual, equal, rejects, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { joinChunks } from '../../scripts/join-chunks.ts';

const test = suite('chunks of a tool in one file');

const SHARED = 'ran.push("shared");var a=1,count=()=>ran.length;export{a as b,count};';

/** What the joined chunks export, and the order in which they ran. */
async function run(entry: string, others: Record<string, string> = {}) {
  const ran: string[] = [];
  const texts = { './tool.js': entry, './S.js': SHARED, ...others };
  const chunks = Object.entries(texts).map(([name, text]) => ({ name, text }));
  const exports: Record<string, unknown> = {};
  const body = await joinChunks(chunks, './tool.js');
  new Function('exports', 'require', 'ran', body)(exports, (name: string) => ({ from: name }), ran);
  return { exports, ran };
}

test('bindings go from chunk to chunk under the names that each has for them', async () => {
  const { exports, ran } = await run(
    'import{b as one,count}from"./S.js";var sum=()=>one+count();export{sum};',
  );
  equal((exports.sum as () => number)(), 2);
  deepEqual(ran, ['shared']);
});

test('a chunk runs when something of it is first used, and once', async () => {
  const { exports, ran } = await run(
    'import{count}from"./S.js";ran.push("tool");var go=async()=>[await import("./L.js"),await import("./L.js")],use=()=>count()+count();export{go,use};',
    { './L.js': 'import"./S.js";ran.push("late");var late=2;export{late as default};' },
  );
  deepEqual(ran, ['tool']);
  const [first, second] = await (exports.go as () => Promise<{ default: number }[]>)();
  equal(first, second);
  equal(first?.default, 2);
  deepEqual(ran, ['tool', 'late']);
  equal((exports.use as () => number)(), 6);
  deepEqual(ran, ['tool', 'late', 'shared']);
});

test('a chunk hands on what it has of another', async () => {
  const { exports } = await run('import{one}from"./R.js";var two=one*2;export{two};', {
    './R.js': 'import{b as x}from"./S.js";var y=x;export{x as one,y};',
  });
  equal(exports.two, 2);
});

test('a package in CommonJS has its names, and itself as the default', async () => {
  const { exports } = await run('var go=()=>import("./P.js");export{go};', {
    './P.js': 'var p={parse:1},require_p=()=>p;export default require_p();',
  });
  const made = await (exports.go as () => Promise<Record<string, unknown>>)();
  deepEqual(made, { parse: 1, default: { parse: 1 } });
});

test('modules of Node are required, and licences stay', async () => {
  const { exports } = await run(
    'import{from}from"node:zlib";var name=()=>from;export{name};\n/*! (c) x */\n',
  );
  equal((exports.name as () => string)(), 'node:zlib');
  equal((await joinChunks([{ name: './t.js', text: '/*! (c) y */' }], './t.js')).includes('(c) y'), true);
});

test('unknown chunks, odd exports and circles are no bundle', async () => {
  await rejects(run('import{x}from"./gone.js";'), /imports \.\/gone\.js/);
  await rejects(run('export const x=1;'), /not understood/);
  await rejects(run('import*as all from"./S.js";var x=all;export{x};'), /not understood/);
  const circle = await joinChunks(
    [
      { name: './tool.js', text: 'import{x}from"./C.js";var y=x;export{y};' },
      { name: './C.js', text: 'import{y}from"./tool.js";var x=y;export{x};' },
    ],
    './tool.js',
  );
  throws(() => new Function('exports', 'require', circle)({}, () => undefined), TypeError);
});

test.run();
