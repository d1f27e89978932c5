import { equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { renderTemplate } from '../../../bin/cli/template/evaluate.ts';

const DATA = {
  Name: 'alpine',
  Size: 42,
  Tags: ['a', 'b'],
  Labels: new Map([
    ['k', 'v'],
    ['a.b', 'c'],
  ]),
  Empty: [],
  Nested: { Os: 'linux', List: [{ Id: 1 }, { Id: 2 }] },
  Nil: null,
  Greet: (name: string) => `hi ${name}`,
};
const template = suite('Go templates');
for (const [text, expected] of [
  ['plain', 'plain'],
  ['{{.Name}}', 'alpine'],
  ['{{ .Nested.Os }}', 'linux'],
  ['{{.Tags}}', '[a b]'],
  ['{{.Labels}}', 'map[a.b:c k:v]'],
  ['{{.Labels.k}}', 'v'],
  ['{{.Labels.none}}', '<no value>'],
  ['{{index .Labels "a.b"}}', 'c'],
  ['{{index .Tags 1}}', 'b'],
  ['{{len .Tags}}', '2'],
  ['{{json .Tags}}', '["a","b"]'],
  ['{{json .Labels}}', '{"a.b":"c","k":"v"}'],
  ['{{.Tags | json}}', '["a","b"]'],
  ['{{range .Tags}}<{{.}}>{{end}}', '<a><b>'],
  ['{{range $i, $t := .Tags}}{{$i}}={{$t}};{{end}}', '0=a;1=b;'],
  ['{{range .Empty}}x{{else}}none{{end}}', 'none'],
  ['{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}', 'a.b:c k:v '],
  ['{{if .Empty}}yes{{else}}no{{end}}', 'no'],
  ['{{if eq .Name "alpine"}}A{{else if .Size}}B{{end}}', 'A'],
  ['{{if and .Name (gt .Size 40)}}big{{end}}', 'big'],
  ['{{with .Nested}}{{.Os}}{{$.Name}}{{end}}', 'linuxalpine'],
  ['{{printf "%-8s|%5d|%q|%.2f%%" .Name .Size .Name 1.5}}', 'alpine  |   42|"alpine"|1.50%'],
  ['{{.Name | printf "%s:%s" "x"}}', 'x:alpine'],
  ['{{join .Tags ","}}', 'a,b'],
  ['{{upper .Name}} {{lower "AB"}}', 'ALPINE ab'],
  ['{{$x := .Name}}{{$x}}', 'alpine'],
  ['a {{- /* c */ -}} b', 'ab'],
  ['{{- .Name -}}  x', 'alpinex'],
  ['{{(index .Nested.List 1).Id}}', '2'],
  ['{{slice .Name 1 3}}', 'lp'],
  ['{{.Nil}}', '<nil>'],
  ['{{not .Empty}} {{or .Empty .Name}}', 'true alpine'],
  ['{{.Greet "you"}}', 'hi you'],
  ['{{"q\\"\\t}}"}}', 'q"\t}}'],
  ['{{print 1 2 "a"}}', '1 2a'],
  ['{{`raw`}}{{true}}', 'rawtrue'],
] as const) {
  template(text, () => equal(renderTemplate(text, DATA), expected));
}
for (const [text, message] of [
  ['{{.Nope}}', /can't evaluate field Nope/],
  ['{{.Name', /unclosed action/],
  ['{{if .Name}}', /has no \{\{end\}\}/],
  ['{{end}}', /unexpected \{\{end\}\}/],
  ['{{foo .Name}}', /function "foo" not defined/],
  ['{{$y}}', /undefined variable "\$y"/],
  ['{{}}', /missing value for command/],
  ['{{index .Tags 9}}', /out of range/],
  ['{{.__proto__}}', /can't evaluate field __proto__/],
] as const) {
  template(`refused: ${text}`, () => throws(() => renderTemplate(text, DATA), message));
}
template.run();
