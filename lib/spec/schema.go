package spec

import (
	"embed"
	"fmt"
	"math/big"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed schema/*.json
var schemaFiles embed.FS

// schemas reads the embedded schema of the runtime-spec. It knows the keywords
// of JSON schema draft 4 that are in it; a test holds that there are no
// others. Validating the tree itself, and not a decoded copy, keeps numbers
// beyond 2^53 exact.
type schemas struct {
	files    map[string]*node
	patterns map[string]*regexp.Regexp
	findings []Finding
}

// place is a schema and the file it is in, which its references start from.
type place struct {
	file   string
	schema *node
}

// checkSchema compares the document with the schema.
func checkSchema(d *Document) ([]Finding, error) {
	s := &schemas{files: make(map[string]*node), patterns: make(map[string]*regexp.Regexp)}
	top, err := s.load("config-schema.json")
	if err != nil {
		return nil, err
	}
	if err := s.check(place{"config-schema.json", top}, d.root, nil); err != nil {
		return nil, err
	}
	return s.findings, nil
}

func (s *schemas) load(file string) (*node, error) {
	if n, ok := s.files[file]; ok {
		return n, nil
	}
	data, err := schemaFiles.ReadFile("schema/" + file)
	if err != nil {
		return nil, fmt.Errorf("embedded schema: %w", err)
	}
	n, err := parseJSON(data)
	if err != nil {
		return nil, fmt.Errorf("embedded schema %s: %w", file, err)
	}
	s.files[file] = n
	return n, nil
}

// resolve follows references to a schema that is none.
func (s *schemas) resolve(p place) (place, error) {
	for {
		ref := p.schema.member("$ref").text()
		if ref == "" {
			return p, nil
		}
		file, fragment, _ := strings.Cut(ref, "#")
		if file == "" {
			file = p.file
		}
		n, err := s.load(path.Base(file))
		if err != nil {
			return p, err
		}
		tokens, err := parsePointer("/" + strings.TrimPrefix(fragment, "/"))
		if err != nil {
			return p, err
		}
		if n = n.at(tokens); n == nil {
			return p, fmt.Errorf("embedded schema %s: reference %s leads nowhere", p.file, ref)
		}
		p = place{path.Base(file), n}
	}
}

func (s *schemas) fail(at []string, format string, args ...any) {
	s.findings = append(s.findings, Finding{Pointer: pointer(at...), Severity: SeverityError, Layer: LayerSchema, Message: fmt.Sprintf(format, args...)})
}

func (s *schemas) check(p place, n *node, at []string) error {
	p, err := s.resolve(p)
	if err != nil {
		return err
	}
	if want := p.schema.member("type").text(); want != "" && !n.is(want) {
		s.fail(at, "is %s, not of type %s", n.kind, want)
		return nil
	}
	for _, keyword := range []func(place, *node, []string) error{s.checkValue, s.checkObject, s.checkArray, s.checkCombined} {
		if err := keyword(p, n, at); err != nil {
			return err
		}
	}
	return nil
}

// is reports whether the node has a type of JSON schema.
func (n *node) is(kind string) bool {
	switch kind {
	case "integer":
		return n.kind == kindNumber && !strings.ContainsAny(n.literal, ".eE")
	case "number":
		return n.kind == kindNumber
	case "string":
		return n.kind == kindString
	case "boolean":
		return n.kind == kindBool
	case "array":
		return n.kind == kindArray
	case "object":
		return n.kind == kindObject
	default:
		return n.kind == kindNull
	}
}

func (s *schemas) checkValue(p place, n *node, at []string) error {
	if enum := p.schema.member("enum"); enum != nil && !slices.ContainsFunc(enum.items, n.equal) {
		s.fail(at, "%s is not among %s", n.compact(), strings.Join(enum.texts(), ", "))
	}
	if pattern := p.schema.member("pattern").text(); pattern != "" && n.kind == kindString {
		re, err := s.pattern(pattern)
		if err != nil {
			return err
		}
		if !re.MatchString(n.text()) {
			s.fail(at, "%s does not match %s", n.compact(), pattern)
		}
	}
	if n.is("integer") {
		s.checkRange(p, n, at)
	}
	return nil
}

// longestInteger bounds what is turned into a number: the bounds of the schema
// are those of 64-bit numbers.
const longestInteger = 40

func (s *schemas) checkRange(p place, n *node, at []string) {
	least, hasLeast := new(big.Int).SetString(literal(p.schema, "minimum"), 10)
	most, hasMost := new(big.Int).SetString(literal(p.schema, "maximum"), 10)
	if !hasLeast && !hasMost {
		return
	}
	if len(n.literal) > longestInteger {
		s.fail(at, "%s is out of range", clip(n.literal))
		return
	}
	value, ok := new(big.Int).SetString(n.literal, 10)
	switch {
	case !ok:
	case hasLeast && value.Cmp(least) < 0:
		s.fail(at, "%s is less than %s", n.literal, least)
	case hasMost && value.Cmp(most) > 0:
		s.fail(at, "%s is greater than %s", n.literal, most)
	}
}

func literal(schema *node, key string) string {
	if n := schema.member(key); n != nil {
		return n.literal
	}
	return ""
}

func (s *schemas) pattern(text string) (*regexp.Regexp, error) {
	if re, ok := s.patterns[text]; ok {
		return re, nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("embedded schema: %w", err)
	}
	s.patterns[text] = re
	return re, nil
}

func (s *schemas) checkObject(p place, n *node, at []string) error {
	if n.kind != kindObject {
		return nil
	}
	for _, key := range p.schema.member("required").texts() {
		if n.member(key) == nil {
			s.fail(at, "has no member %q", key)
		}
	}
	properties, patterns, rest := p.schema.member("properties"), p.schema.member("patternProperties"), p.schema.member("additionalProperties")
	for _, m := range n.members {
		below := slices.Concat(at, []string{m.key})
		sub := properties.member(m.key)
		if sub == nil && patterns != nil {
			for _, pp := range patterns.members {
				re, err := s.pattern(pp.key)
				if err != nil {
					return err
				}
				if re.MatchString(m.key) {
					sub = pp.value
				}
			}
		}
		if sub == nil && rest != nil && rest.kind == kindObject {
			sub = rest
		}
		switch {
		case sub != nil:
			if err := s.check(place{p.file, sub}, m.value, below); err != nil {
				return err
			}
		case rest != nil && rest.literal == "false":
			s.fail(below, "is not allowed")
		case properties != nil && patterns == nil:
			s.findings = append(s.findings, Finding{
				Pointer: pointer(below...), Severity: SeverityWarning, Layer: LayerSchema,
				Message: "is not in runtime-spec 1.3.0: a runtime ignores it without a word", Cure: "mind the spelling",
			})
		}
	}
	return nil
}

func (s *schemas) checkArray(p place, n *node, at []string) error {
	if n.kind != kindArray {
		return nil
	}
	if least, ok := p.schema.member("minItems").uint(); ok && uint64(len(n.items)) < least {
		s.fail(at, "has %d elements, and needs %d", len(n.items), least)
	}
	items := p.schema.member("items")
	if items == nil {
		return nil
	}
	for i, item := range n.items {
		if err := s.check(place{p.file, items}, item, slices.Concat(at, []string{itoa(i)})); err != nil {
			return err
		}
	}
	return nil
}

// checkCombined handles allOf and anyOf.
func (s *schemas) checkCombined(p place, n *node, at []string) error {
	for _, sub := range p.schema.member("allOf").each() {
		if err := s.check(place{p.file, sub}, n, at); err != nil {
			return err
		}
	}
	choices := p.schema.member("anyOf").each()
	if len(choices) == 0 {
		return nil
	}
	var first []Finding
	for i, sub := range choices {
		trial := &schemas{files: s.files, patterns: s.patterns}
		if err := trial.check(place{p.file, sub}, n, at); err != nil {
			return err
		}
		if !slices.ContainsFunc(trial.findings, func(f Finding) bool { return f.Severity == SeverityError }) {
			s.findings = append(s.findings, trial.findings...)
			return nil
		}
		if i == 0 {
			first = trial.findings
		}
	}
	s.findings = append(s.findings, first...)
	return nil
}
