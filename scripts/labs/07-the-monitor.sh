# 07 What a shim is for
#
# A runtime starts a container and is gone. Who keeps its output, who learns how
# it ended? conmon and containerd-shim do; here you see what is lost without.
# Needs root.
. "$LABS/lab.sh"

say "(there is a bundle of busybox, unpacked)"
prepare 'oci-copy -q "oci:$LAB_IMAGE:busybox" oci:store:busybox | oci-unpack -q - bundle'
say "Names of containers are the machine's, so this lab's get a number:"
show 'id=lab07-$$; echo $id >id'

if have runc; then
	title "The stock tool alone: runc run --detach"
	show 'oci-genspec bundle -- sh -c "echo to nobody; exit 3"'
	show 'runc run --detach -b bundle $id-stock </dev/null >stock.log 2>&1'
	show 'sleep 1; runc state $id-stock | jq .status'
	say "It has stopped. How? Its status went to its parent, and that was init:"
	show 'runc state $id-stock | jq "has(\"exitCode\")" | tee stock.knows'
	show 'runc delete $id-stock'
fi

title "With a monitor: oci-run --detach"
show 'oci-genspec bundle -- sh -c "echo kept; sleep 1; echo kept, too; exit 3"'
show 'oci-run --detach -b bundle $id'
show 'oci-run --wait $id || echo $? >status'
show 'cat status'
show 'oci-run --logs $id | tee log'
show 'oci-run --delete $id'

title "Kill the monitor"
show 'oci-genspec bundle -- sh -c "echo before; sleep 3; echo after"'
show 'oci-run --detach -b bundle $id-orphan'
say "The monitor is this binary, started again; it is the parent of the container:"
show <<'EOT'
pid=$(oci-run --list --json | jq -r --arg id $id-orphan 'select(.id == $id) | .pid')
EOT
show <<'EOT'
monitor=$(awk '/^PPid/ { print $2 }' /proc/$pid/status)
EOT
show 'tr "\0" " " </proc/$monitor/cmdline; echo'
show 'kill -9 $monitor'
say "The container lives on, and writes its own log; only its exit status is lost,"
say "and is reported as unknown, never as 0:"
show 'sleep 4; oci-run --logs $id-orphan | tee orphan.log'
show 'oci-run --wait $id-orphan || echo $? >orphan.status'
show 'cat orphan.status'
show 'oci-run --delete $id-orphan'
