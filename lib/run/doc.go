// Package run drives an OCI runtime: it starts a bundle, stands by until its
// process ends, and tells how it ended.
//
// The package holds no runtime. It calls one (runc, crun, youki, runsc) as a
// program: create, start, and, at the end, delete. It never uses the runtime's
// own "run", whose exit status mixes the runtime's failures with the program's,
// and which copies standard input through a pipe of its own.
//
// The process that calls Supervise is the container's monitor: it becomes a
// child subreaper, so that the container's first process, orphaned when
// "create" ends, is its child, and wait4(2) tells the true status. In the
// foreground that is the tool itself, with --detach a small process that
// outlives it (see Detach and Monitor).
//
// What is known about containers lies in plain files (see Store); locks on
// them tell the living from the dead, so that a killed monitor leaves a
// container that can still be listed, waited for, stopped and cleaned up.
//
// The rootfs is taken for hostile: CheckTargets looks at every place in it
// that the runtime is going to mount on or change into before the runtime, of
// whatever age, is let loose.
package run
