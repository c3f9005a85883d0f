package confine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
)

// answers is the descriptor that the parent listens to.
const answers = 3

// Work does a job behind the wall. Its directory is the current one. What it
// sends is given to Child.Message, in order; it may send from several
// goroutines. What it returns goes to the caller of Child.Run.
type Work func(ctx context.Context, job json.RawMessage, send func(message any)) (result any, err error)

// Serve is the whole life of a child: it reads its order, puts up the wall,
// works and answers. It returns the exit status of the process.
func Serve(in io.Reader, work Work) int {
	c := &channel{out: os.NewFile(answers, "answers")}
	if c.out == nil {
		return 1 // called by hand
	}
	result, err := serve(in, work, c)
	switch {
	case err != nil:
		return c.answer(answer{Error: packed(err)}, 1)
	default:
		encoded, err := json.Marshal(result)
		if err != nil {
			return c.answer(answer{Error: pack(err)}, 1)
		}
		return c.answer(answer{Result: encoded}, 0)
	}
}

func serve(in io.Reader, work Work, c *channel) (any, error) {
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read the order: %w", err)
	}
	var o order
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, fmt.Errorf("read the order: %w", err)
	}
	if o.Wall {
		if err := wall(&o); err != nil {
			return nil, err
		}
	}
	if err := enter(&o); err != nil {
		return nil, err
	}
	if o.Wall {
		if err := dropCapabilities(); err != nil {
			return nil, err
		}
		if err := lock(); err != nil {
			return nil, err
		}
	}
	return work(context.Background(), o.Job, c.send)
}

// channel writes answers, one line each.
type channel struct {
	mu  sync.Mutex
	out *os.File
}

// send drops a message that cannot be sent: the parent is gone, and with it
// the reason to go on; the signal that says so is on its way.
func (c *channel) send(message any) {
	encoded, err := json.Marshal(message)
	if err == nil {
		c.answer(answer{Message: encoded}, 0)
	}
}

func (c *channel) answer(a answer, status int) int {
	line, err := json.Marshal(a)
	if err != nil {
		return 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.out.Write(append(line, '\n')); err != nil {
		return 1
	}
	return status
}
