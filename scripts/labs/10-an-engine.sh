# 10 A container engine in thirty lines of shell
#
# pull, run, ps, logs, stop, commit, push, rm: what an engine does, out of the
# parts. Read it, then use it.
# Needs root.
. "$LABS/lab.sh"

say "(there is a registry on this machine, at \$LAB_REGISTRY, and an image in it: lab10)"
prepare 'oci-copy -q --dest-tls-verify=false "oci:$LAB_IMAGE:busybox" "docker://$LAB_REGISTRY/lab10:latest"'

title "The engine"
show <<'EOT'
cat >engine <<'END'
#!/bin/sh
# usage: engine pull IMAGE | run IMAGE [CMD...] | ps | logs ID | wait ID | stop ID | rm ID | commit ID TAG | push TAG IMAGE
set -eu
home=${ENGINE_HOME:-$HOME/.engine}
tls=${ENGINE_TLS:-true}
verb=$1
shift
case $verb in
pull)
  oci-copy -q --src-tls-verify="$tls" "docker://$1" "oci:$home/images:$(basename "$1" | tr : -)"
  ;;
run)
  image=$1
  shift
  id=$(head -c 6 /dev/urandom | od -An -tx1 | tr -d ' \n')
  mkdir -p "$home/containers"
  oci-mount -q "$home/images:$image" "$home/containers/$id" | oci-genspec -q --hostname "$id" -- "$@" >/dev/null
  oci-run -q --detach -b "$home/containers/$id" "$id"
  ;;
ps) oci-run --list ;;
logs | wait | stop) oci-run "--$verb" "$@" ;;
rm)
  oci-run --delete "$1"
  oci-mount -q --rm "$home/containers/$1"
  ;;
commit) oci-commit -q "$home/containers/$1" "oci:$home/images:$2" ;;
push) oci-copy -q --dest-tls-verify="$tls" "oci:$home/images:$1" "docker://$2" ;;
*) sed -n 2p "$0"; exit 2 ;;
esac
END
EOT
show 'chmod +x engine'
show 'grep -cv "^#" engine'

title "Pull, and run"
say "Where it keeps things, and that the registry here speaks plain http:"
show 'export ENGINE_HOME=$PWD/engine.d ENGINE_TLS=false'
show './engine pull $LAB_REGISTRY/lab10:latest'
show 'id=$(./engine run lab10-latest sh -c "hostname; echo made >/made; exit 5"); echo $id >id'
show './engine ps'
show './engine wait $id || echo $? >status'
show 'cat status'
show './engine logs $id | tee log'

title "Commit, push, and run what was committed"
show './engine commit $id made'
show './engine push made $LAB_REGISTRY/lab10:made'
show './engine rm $id'
show 'again=$(./engine run made cat /made)'
show './engine wait $again; ./engine logs $again | tee again.log'
show './engine rm $again'
