# 04 Edit config.json: a container that stays
#
# What the runtime knows of a container: its list, its state, its namespaces.
# Needs root.
. "$LABS/lab.sh"

say "(there is an image in a layout, store:busybox)"
prepare 'oci-copy -q "oci:$LAB_IMAGE:busybox" oci:store:busybox'
say "Names of containers are the machine's, so this lab's get a number:"
show 'id=lab04-$$; echo $id >id'

if have umoci runc; then
	title "The stock tools: umoci, jq, runc"
	show 'umoci unpack --image store:busybox stock-bundle'
	say "The default is a shell on a terminal. A container that stays needs another"
	say "program, and no terminal:"
	show <<'EOT'
jq '.process.terminal = false | .process.args = ["sleep", "60"]' stock-bundle/config.json >edited && mv edited stock-bundle/config.json
EOT
	show 'runc run --detach -b stock-bundle $id-stock </dev/null >stock.log 2>&1'
	show 'runc exec $id-stock ps'
	show 'runc list'
	show 'runc delete --force $id-stock'
fi

title "Ours"
show 'oci-unpack store:busybox bundle'
show 'oci-genspec bundle -- sleep 60'
say "oci-genspec is a filter, too: a config.json goes in, the flags change it, and all"
say "else stays as it was."
show 'oci-genspec -o - --hostname lab04 <bundle/config.json >edited && mv edited bundle/config.json'
show 'cd bundle && oci-run $id --detach && cd ..'

if have runc; then
	title "The runtime's own commands see it"
	show 'runc list'
	show 'runc exec $id ps'
	show 'runc exec $id hostname >hostname'
	show 'runc state $id >state.json'
	show 'jq "{id, pid, status, bundle}" state.json'
	title "Its namespaces are not ours"
	show 'pid=$(jq .pid state.json)'
	show 'for n in mnt pid net uts; do echo "$n $(readlink /proc/self/ns/$n) $(readlink /proc/$pid/ns/$n)"; done | tee namespaces'
	say "(lsns -p \$pid shows the same with the names of the processes)"
	say "The state directory of the runtime holds what it knows:"
	show 'ls /run/runc/$id'
fi

title "Stop it"
show 'oci-run --list'
say "The kernel ignores a TERM for process 1 of a pid namespace unless the program"
say "handles it, and sleep does not: after the grace period comes KILL."
show 'oci-run --stop --time 1s $id'
show 'oci-run --wait $id || echo $? >status'
show 'cat status'
show 'oci-run --delete $id'
