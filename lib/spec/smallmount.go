package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// smallMounts applies --shm-size and --tz.
func (b *builder) smallMounts() error {
	if b.opt.ShmSize != "" {
		size, err := parseSize(b.opt.ShmSize)
		if err != nil {
			return fmt.Errorf("--shm-size: %w", err)
		}
		if size < 0 {
			return fault.Usage("--shm-size %q is negative", b.opt.ShmSize)
		}
		found := false
		for _, m := range b.doc.get("mounts").each() {
			if cleanDestination(m) == "/dev/shm" && m.member("source").text() == "/dev/shm" {
				return fault.Usage("--shm-size and --ipc host exclude each other: /dev/shm is the host's")
			}
			if cleanDestination(m) == "/dev/shm" && m.member("type").text() == "tmpfs" {
				setOption(byFlag("--shm-size", ""), m, fmt.Sprintf("size=%d", size), "size")
				found = true
			}
		}
		if !found {
			b.setMount(byFlag("--shm-size", ""), newMount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", size)))
		}
	}
	return b.timeZone()
}

// timeZone binds the zone of the host: the image may have no zone files.
func (b *builder) timeZone() error {
	zone := b.opt.TZ
	if zone == "" {
		return nil
	}
	source := "/etc/localtime"
	if zone != "local" {
		source = path.Join("/usr/share/zoneinfo", zone)
		if !below(source, "/usr/share/zoneinfo/") || path.Clean(zone) != zone {
			return fault.Usage("--tz %q is not the name of a zone", zone)
		}
	}
	b.setMount(byFlag("--tz", zone), newMount("/etc/localtime", "bind", source, "ro", "rprivate", "nosuid", "nodev", "noexec", "rbind"))
	return nil
}

// imageVolumes mounts something on the volumes of the image. A plain tmpfs
// would hide what the image has there (ctcli issue 1), so the tmpfs copies it
// up, which runc and crun do. Nested ones need their parents first.
func (b *builder) imageVolumes() error {
	mode := b.opt.ImageVolumes
	hostDir, isBind := strings.CutPrefix(mode, "bind:")
	switch {
	case mode == "", mode == "tmpfs-copyup", mode == "tmpfs", mode == "error":
	case isBind && path.IsAbs(hostDir):
	case mode == "ignore":
		for _, v := range b.in.Image.Volumes {
			b.ignore(pointer("config", "Volumes", v), "--volumes ignore")
		}
		return nil
	default:
		return fault.Usage("--volumes %q is none of tmpfs-copyup, bind:/DIR, ignore, error", mode)
	}
	var destinations []string
	for _, v := range b.in.Image.Volumes {
		destination := path.Clean("/" + v)
		if err := b.checkVolume(v, destination); err != nil {
			return err
		}
		if !slices.Contains(destinations, destination) {
			destinations = append(destinations, destination)
		}
	}
	if mode == "error" && len(destinations) > 0 {
		return fault.Hint(fault.Refused("the image has volumes: %s", strings.Join(destinations, " ")), "choose with --volumes tmpfs-copyup, bind:/DIR or ignore")
	}
	if isBind && len(destinations) > 0 && b.in.Rootfs == nil {
		return fault.Hint(fault.Usage("--volumes %s copies what the rootfs has there, and none was named", mode), "name it with --rootfs DIR")
	}
	slices.Sort(destinations)
	for _, destination := range destinations {
		from := fromImage("config.Volumes", "a volume is mounted (image-spec conversion.md)")
		if isBind {
			source := path.Join(hostDir, volumeName(destination))
			b.setMount(from, newMount(destination, "bind", source, "rw", "rprivate", "nosuid", "nodev", "rbind"))
			b.CopyUps = append(b.CopyUps, CopyUp{From: destination, To: source})
			continue
		}
		options := append([]string{"rw", "rprivate", "nosuid", "nodev", "exec", "tmpcopyup"}, b.ownerOptions(destination)...)
		b.setMount(from, newMount(destination, "tmpfs", "tmpfs", options...))
	}
	return nil
}

// checkVolume refuses a volume that would hide what the runtime mounts.
func (b *builder) checkVolume(v, destination string) error {
	if v == "" || destination == "/" {
		return fault.Refused("image config: volume %q is the root itself", clip(v))
	}
	resolved := destination
	if b.in.Rootfs != nil {
		resolved = b.in.Rootfs.follow(destination)
	}
	for _, d := range []string{destination, resolved} {
		for _, kernel := range []string{"/proc", "/sys", "/dev"} {
			if below(d, kernel) {
				return fault.Hint(fault.Refused("image config: volume %q lies in %s", clip(v), kernel), "leave the volumes out with --volumes ignore")
			}
		}
	}
	return nil
}

// volumeName is the name of a volume's directory: its path, with slashes as
// dashes and dashes doubled, so that no two volumes share one.
func volumeName(destination string) string {
	return strings.NewReplacer("-", "--", "/", "-").Replace(strings.TrimPrefix(destination, "/"))
}

// ownerOptions keeps the mode and the owner of the directory of the image;
// tmpcopyup copies what is in it, but makes the directory itself root's.
func (b *builder) ownerOptions(destination string) []string {
	if b.in.Rootfs == nil {
		return nil
	}
	st, err := b.in.Rootfs.stat(destination)
	if err != nil {
		return nil
	}
	options := []string{fmt.Sprintf("mode=%o", st.Mode&0o7777)}
	for _, owner := range []struct {
		name string
		id   uint32
		maps []IDRange
	}{{"uid", st.Uid, b.in.UIDMap}, {"gid", st.Gid, b.in.GIDMap}} {
		id, ok := toContainer(owner.maps, owner.id)
		if ok && id != 0 {
			options = append(options, fmt.Sprintf("%s=%d", owner.name, id))
		}
	}
	return options
}

// toContainer maps an id of the host back; no maps are the identity.
func toContainer(ranges []IDRange, id uint32) (uint32, bool) {
	if len(ranges) == 0 {
		return id, true
	}
	for _, r := range ranges {
		if id >= r.Host && id-r.Host < r.Size {
			return r.Container + id - r.Host, true
		}
	}
	return 0, false
}
