package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// runner copies images and prints a record for each.
type runner struct {
	inv      *cli.Invocation
	copier   *transport.Copier
	progress *progress
	lesson   *lesson

	mu      sync.Mutex // of what jobs tell of their copies in turn
	records *pipe.Writer
	digests *digestFile

	// outcome is what --keep-going went past.
	outcome failures
}

// copy copies one image and prints its record.
func (r *runner) copy(ctx context.Context, src, dst string) error {
	if err := r.check(src, dst); err != nil {
		return err
	}
	if err := r.lesson.copy(src, dst); err != nil {
		return err
	}
	result, err := r.copier.Copy(ctx, src, dst)
	if err != nil {
		return err
	}
	if err := r.announce(src, result); err != nil {
		return errors.Join(err, result.Undo(context.WithoutCancel(ctx)))
	}
	return result.Settle()
}

// announce says what was copied: in the digest file and by a record, or by
// neither.
func (r *runner) announce(src string, result *transport.Result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	takeBack, err := r.digests.write(result)
	if err != nil {
		return err
	}
	r.progress.clear()
	if result.Reference == "" {
		r.inv.Log.Note("copied %s to standard output, digest %s", src, result.Digest)
		return nil
	}
	r.inv.Log.Detail("copied %s: digest %s, %d bytes in %s", src, result.Digest, result.Bytes(), result.Duration)
	if err := r.records.Write(recordOf(result)); err != nil {
		takeBack()
		return err
	}
	return nil
}

// check refuses what cannot be read or printed beside the list of images that
// comes in, and the records that go out.
func (r *runner) check(src, dst string) error {
	batch := r.inv.Bool("batch")
	switch {
	case (batch || r.inv.Operand(0) == "-") && transport.IsStream(src):
		return fault.Usage("%s cannot be a source here: on standard input are the names of images", src)
	case batch && transport.IsStream(dst):
		return fault.Usage("%s cannot be a destination of a batch: on standard output are the records", dst)
	}
	return r.records.Check(dst)
}

// one takes the two operands, or for SRC the image of the record on standard
// input. A second record would take the place of the first.
func (r *runner) one(do func(src, dst string) error) error {
	src, dst := r.inv.Operand(0), r.inv.Operand(1)
	if src != "-" {
		return do(src, dst)
	}
	first := ""
	return r.inv.EachInput("-", func(rec pipe.Record) error {
		switch {
		case rec.Image == "":
			return fault.Usage("the record %q names no image", rec.Name())
		case first != "":
			return fault.Hint(fault.Usage("%s has got %s, and cannot get %s, too", dst, first, rec.Image),
				"name a destination for each: printf '%%s\\t%%s\\n' SRC DST SRC DST | {tool} --batch")
		}
		first = rec.Image
		return do(rec.Image, dst)
	})
}

// recordOf describes the image at its destination.
func recordOf(result *transport.Result) pipe.Record {
	return pipe.Record{
		Kind:   pipe.KindImage,
		Image:  result.Reference,
		Digest: result.Digest.String(),
		Extra: map[string]any{
			"mediaType": result.MediaType,
			"size":      result.Size,
			"bytes":     result.Bytes(),
			"platforms": result.Platforms,
			"blobs":     result.Blobs,
			"seconds":   result.Duration.Seconds(),
		},
	}
}

// tags copies all tags, or those that --filter lets pass.
func (r *runner) tags(ctx context.Context, src, dst string) error {
	filter, err := r.filter()
	if err != nil {
		return err
	}
	tagging, err := r.copier.Tagging(src, dst)
	if err != nil {
		return err
	}
	pairs, err := tagging.Pairs(ctx)
	if err != nil {
		return err
	}
	return r.many(ctx, func(yield func(transport.Pair) error) error {
		found := false
		for _, p := range pairs {
			if !filter.MatchString(p.Tag) {
				continue
			}
			found = true
			if err := yield(p); err != nil {
				return err
			}
		}
		switch {
		case found:
			return nil
		case len(pairs) == 0:
			return fault.NotFound("%s has no tags", src)
		default:
			return fault.NotFound("%s has %d tags, and none of them matches %q", src, len(pairs), filter)
		}
	})
}

// filter is the regular expression of --filter.
func (r *runner) filter() (*regexp.Regexp, error) {
	filter, err := regexp.Compile(r.inv.String("filter"))
	if err != nil {
		return nil, r.inv.Usage("--filter: %v", err)
	}
	return filter, nil
}

// batch copies what the lines on standard input say.
func (r *runner) batch(ctx context.Context) error {
	return r.many(ctx, func(yield func(transport.Pair) error) error {
		return r.lines(yield)
	})
}

// maxLine bounds one line of a batch.
const maxLine = 64 << 10

// lines reads SRC<tab>DST lines, which with -0 end with NUL.
func (r *runner) lines(yield func(transport.Pair) error) error {
	if r.inv.StdinIsTerminal() {
		return r.inv.Usage("--batch, and standard input is a terminal")
	}
	end := byte('\n')
	if r.inv.Bool("null") {
		end = 0
	}
	in := bufio.NewReaderSize(r.inv.Input(), maxLine)
	for n := 1; ; n++ {
		line, err := readLine(in, end)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0 && n == 1:
			return fault.Hint(pipe.ErrNothing, "the lines of a batch are SRC<tab>DST")
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("line %d on standard input is cut off: %.80q has no line end", n, line)
		case err != nil:
			return fmt.Errorf("line %d on standard input: %w", n, err)
		}
		pair, err := pairOf(line)
		if err == nil {
			err = yield(pair)
		} else {
			err = r.past(fmt.Errorf("line %d on standard input: %w", n, err))
		}
		if err != nil {
			return err
		}
	}
}

// readLine reads a line with its end. Of one that is too long it returns the
// beginning, and reads the rest.
func readLine(in *bufio.Reader, end byte) ([]byte, error) {
	line, err := in.ReadSlice(end)
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line)
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice(end)
	}
	return line, err
}

// pairOf takes apart a line with its end.
func pairOf(line []byte) (transport.Pair, error) {
	if len(line) == maxLine {
		return transport.Pair{}, fault.Usage("it has more than %d bytes", maxLine-1)
	}
	src, dst, ok := strings.Cut(string(line[:len(line)-1]), "\t")
	if !ok || src == "" || dst == "" || strings.Contains(dst, "\t") {
		return transport.Pair{}, fault.Usage("%.80q is not SRC<tab>DST", line)
	}
	return transport.Pair{Source: src, Destination: dst}, nil
}

// past goes past a failure with --keep-going: it reports and counts it.
func (r *runner) past(err error) error {
	if !r.inv.Bool("keep-going") {
		return err
	}
	r.progress.clear()
	r.inv.Log.Warn("%v", err)
	r.outcome.add(err)
	return nil
}

// many copies each pair that feed yields, --jobs at once. The first failure
// stops all, or with --keep-going is reported, and fails the whole at its end.
func (r *runner) many(ctx context.Context, feed func(yield func(transport.Pair) error) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, r.inv.Int("jobs")))
	err := feed(func(p transport.Pair) error {
		group.Go(func() error {
			err := r.copy(ctx, p.Source, p.Destination)
			if err == nil || ctx.Err() != nil {
				return err
			}
			return r.past(err)
		})
		return context.Cause(ctx)
	})
	if waited := group.Wait(); waited != nil {
		err = waited
	}
	return errors.Join(err, r.outcome.sum())
}

// failures are what --keep-going went past.
type failures struct {
	mu   sync.Mutex
	n    int
	kind error
}

// add counts a failure. Failures of different kinds have none together.
func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	switch kind := fault.Kind(err); {
	case f.n == 1:
		f.kind = kind
	case !errors.Is(kind, f.kind):
		f.kind = nil
	}
}

func (f *failures) sum() error {
	if f.n == 0 {
		return nil
	}
	err := fmt.Errorf("%d of the copies failed", f.n)
	if f.kind == nil {
		return err
	}
	return fault.As(f.kind, err)
}
