import { formatValue } from './format.ts';
import { FUNCTIONS, isTruthy, type TemplateFunction } from './functions.ts';
import { GoTime } from './go-time.ts';
import { bad, type Operand, type Pipeline, parseTemplate, type TemplateNode } from './parse.ts';

/**
 * Executes a Go template over plain data: objects are structs (an unknown field is an error, a method is a function
 * property), Maps are Go maps (an unknown key prints `<no value>`).
 * @param extra functions beside the built-in ones
 * @throws UsageError `bad-template`
 */
export function renderTemplate(
  text: string,
  data: unknown,
  extra: Readonly<Record<string, TemplateFunction>> = {},
): string {
  return compileTemplate(text, extra)(data);
}

/**
 * Parses once for many rows.
 * @param known functions instead of those that the originals have everywhere
 */
export function compileTemplate(
  text: string,
  extra: Readonly<Record<string, TemplateFunction>> = {},
  known: Readonly<Record<string, TemplateFunction>> = FUNCTIONS,
): (data: unknown) => string {
  const nodes = parseTemplate(text);
  const functions = { ...known, ...extra };
  for (const name of functionsOf(nodes))
    if (!Object.hasOwn(functions, name)) throw bad(`function ${JSON.stringify(name)} not defined`);
  const parts = plainParts(nodes);
  return (data) => (parts && joinPlain(parts, data)) ?? new Evaluation(functions).run(nodes, data);
}

/** A text, or the name of a field. */
type PlainPart = { readonly text: string } | { readonly field: string };

/** A template that has nothing but texts and fields of the data, as that of nearly every listing. */
function plainParts(nodes: readonly TemplateNode[]): readonly PlainPart[] | undefined {
  const parts: PlainPart[] = [];
  for (const node of nodes) {
    if (node.kind === 'text') parts.push(node);
    else {
      const [command, ...others] = node.kind === 'action' ? node.pipe.commands : [];
      const [only, second] = command ?? [];
      if (only?.kind !== 'field' || only.names.length !== 1 || second || others.length) return undefined;
      if (node.pipe.declares.length) return undefined;
      parts.push({ field: only.names[0]! });
    }
  }
  return parts;
}

/** Undefined where a field is missing or no string. */
function joinPlain(parts: readonly PlainPart[], data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  let text = '';
  for (const part of parts) {
    if ('text' in part) text += part.text;
    else {
      if (!Object.hasOwn(data, part.field)) return undefined;
      const value = (data as Record<string, unknown>)[part.field];
      if (typeof value !== 'string') return undefined;
      text += value;
    }
  }
  return text;
}

/** The words `\t` and `\n` that shells hand over literally, as the originals unescape them in --format. */
export function unescapeFormat(text: string): string {
  return text.replace(/\\([tn])/g, (_whole, letter: string) => (letter === 't' ? '\t' : '\n'));
}

type Variables = Map<string, unknown>;

class Evaluation {
  readonly #functions: Readonly<Record<string, TemplateFunction>>;

  constructor(functions: Readonly<Record<string, TemplateFunction>>) {
    this.#functions = functions;
  }

  run(nodes: readonly TemplateNode[], data: unknown): string {
    return this.#nodes(nodes, data, new Map([['$', data]]));
  }

  #nodes(nodes: readonly TemplateNode[], dot: unknown, variables: Variables): string {
    let text = '';
    for (const node of nodes) text += this.#node(node, dot, variables);
    return text;
  }

  #node(node: TemplateNode, dot: unknown, variables: Variables): string {
    if (node.kind === 'text') return node.text;
    if (node.kind === 'action') {
      const value = this.#pipeline(node.pipe, dot, variables);
      if (node.pipe.declares.length) return '';
      return value === undefined ? '<no value>' : formatValue(value);
    }
    const scope = new Map(variables);
    const value = this.#pipeline(node.pipe, dot, scope);
    if (node.kind === 'range') return this.#range(node, value, dot, scope);
    if (!isTruthy(value)) return this.#nodes(node.otherwise, dot, scope);
    return this.#nodes(node.body, node.kind === 'with' ? value : dot, scope);
  }

  #range(
    node: Extract<TemplateNode, { pipe: Pipeline; body: unknown }>,
    value: unknown,
    dot: unknown,
    variables: Variables,
  ): string {
    const entries = rangeEntries(value);
    if (entries.length === 0) return this.#nodes(node.otherwise, dot, variables);
    const { declares } = node.pipe;
    return entries
      .map(([key, item]) => {
        const scope = new Map(variables);
        if (declares.length === 1) scope.set(declares[0] as string, item);
        if (declares.length === 2) scope.set(declares[0] as string, key).set(declares[1] as string, item);
        return this.#nodes(node.body, item, scope);
      })
      .join('');
  }

  #pipeline(pipe: Pipeline, dot: unknown, variables: Variables): unknown {
    let value: unknown;
    for (const [position, command] of pipe.commands.entries())
      value = this.#command(command, position === 0 ? [] : [value], dot, variables);
    for (const name of pipe.declares) {
      if (pipe.assigns && !variables.has(name)) throw bad(`undefined variable ${JSON.stringify(name)}`);
      variables.set(name, value);
    }
    return value;
  }

  #command(
    operands: readonly Operand[],
    piped: readonly unknown[],
    dot: unknown,
    variables: Variables,
  ): unknown {
    const [head, ...rest] = operands as [Operand, ...Operand[]];
    const args = () => [...rest.map((operand) => this.#operand(operand, dot, variables)), ...piped];
    if (head.kind === 'function') return this.#functions[head.name]!(...args());
    const value = this.#operand(head, dot, variables, args());
    if ((rest.length > 0 || piped.length > 0) && head.kind === 'literal')
      throw bad("can't give argument to non-function");
    return value;
  }

  #operand(operand: Operand, dot: unknown, variables: Variables, args: readonly unknown[] = []): unknown {
    switch (operand.kind) {
      case 'literal':
        return operand.value;
      case 'field':
        return selectFields(dot, operand.names, args);
      case 'variable':
        if (!variables.has(operand.name)) throw bad(`undefined variable ${JSON.stringify(operand.name)}`);
        return selectFields(variables.get(operand.name), operand.names, args);
      case 'group':
        return selectFields(this.#pipeline(operand.pipe, dot, variables), operand.names, args);
      case 'function':
        return this.#command([operand], [], dot, variables);
    }
  }
}

function functionsOf(nodes: readonly TemplateNode[]): string[] {
  return nodes.flatMap((node) => {
    if (node.kind === 'text') return [];
    const names = functionsIn(node.pipe);
    return node.kind === 'action'
      ? names
      : [...names, ...functionsOf(node.body), ...functionsOf(node.otherwise)];
  });
}

function functionsIn(pipe: Pipeline): string[] {
  return pipe.commands.flat().flatMap((operand) => {
    if (operand.kind === 'group') return functionsIn(operand.pipe);
    return operand.kind === 'function' ? [operand.name] : [];
  });
}

function rangeEntries(value: unknown): [unknown, unknown][] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return value.map((item, index) => [index, item]);
  if (value instanceof Map)
    return [...value.entries()].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)) as [unknown, unknown][];
  if (typeof value === 'number') return Array.from({ length: value }, (_, index) => [index, index]);
  throw bad(`range can't iterate over ${formatValue(value)}`);
}

function selectFields(value: unknown, names: readonly string[], args: readonly unknown[]): unknown {
  let current = value;
  for (let position = 0; position < names.length; position += 1) {
    const name = names[position] as string;
    if (current instanceof Map) {
      current = current.get(name) as unknown;
      continue;
    }
    const called = callMethod(current, name, position === names.length - 1 ? args : []);
    if (called !== undefined) {
      current = called;
      continue;
    }
    if (typeof current !== 'object' || current === null)
      throw bad(`at <.${names.slice(0, position + 1).join('.')}>: nil pointer evaluating .${name}`);
    if (!Object.hasOwn(current, name))
      throw bad(`at <.${names.slice(0, position + 1).join('.')}>: can't evaluate field ${name}`);
    const field = (current as Record<string, unknown>)[name];
    current =
      typeof field === 'function'
        ? (field as TemplateFunction).apply(current, position === names.length - 1 ? [...args] : [])
        : field;
  }
  return current;
}

/** Methods of times and of digests, which are strings here; undefined for everything else. */
function callMethod(value: unknown, name: string, args: readonly unknown[]): unknown {
  if (value instanceof GoTime) return value.method(name, args);
  const [, algorithm, encoded] = (typeof value === 'string' && /^(sha\d+):([0-9a-f]+)$/.exec(value)) || [];
  if (algorithm === undefined) return undefined;
  if (name === 'Algorithm') return algorithm;
  if (name === 'Encoded' || name === 'Hex') return encoded;
  return name === 'String' ? value : undefined;
}
