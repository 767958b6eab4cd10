package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.util.Arrays;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A model's name on the hub, and which version of it.
 *
 * @param name {@code org/name}, or {@code name} alone
 * @param revision branch, tag or commit; null for what {@code main} is
 */
record ModelId(String name, @Nullable String revision) {
    private static final Pattern NAME = Pattern.compile("[\\w][\\w.-]*(/[\\w][\\w.-]*)?");
    private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");
    private static final Pattern REVISION = Pattern.compile("[\\w][\\w.+/-]*");

    ModelId {
        if (!isName(name)) {
            throw new HeadstartException("'" + name + "' is neither an existing folder nor a model's name; names look"
                    + " like bert-base-uncased or org/name, with letters, digits, '-', '_' and '.'");
        }
        if (revision != null
                && (!REVISION.matcher(revision).matches()
                        || Arrays.asList(revision.split("/", -1)).contains("..")
                        || revision.contains("//"))) {
            throw new HeadstartException("'" + revision + "' is no revision of " + name
                    + "; give a branch, a tag or a commit, for example " + name + "@main");
        }
    }

    /** Reads {@code name} or {@code name@revision}; a revision given apart must not contradict the one in the id. */
    static ModelId parse(String id, @Nullable String revision) {
        int at = id.indexOf('@');
        if (at < 0) {
            return new ModelId(id, revision);
        }
        String own = id.substring(at + 1);
        if (revision != null && !revision.equals(own)) {
            throw new HeadstartException("the id '" + id + "' names revision " + own + ", but revision " + revision
                    + " was asked for too; leave one of them out");
        }
        return new ModelId(id.substring(0, at), own);
    }

    /** Whether a model may be called so; the hub's own rules. */
    static boolean isName(String name) {
        return name.length() <= 96
                && NAME.matcher(name).matches()
                && !name.contains("--")
                && !name.contains("..")
                && !name.endsWith(".git");
    }

    /** Whether {@code revision} is a whole commit, which never changes its meaning. */
    static boolean isCommit(String revision) {
        return COMMIT.matcher(revision).matches();
    }

    String revisionOrMain() {
        return revision == null ? "main" : revision;
    }

    ModelId withName(String other) {
        return new ModelId(other, revision);
    }

    @Override
    public String toString() {
        return revision == null ? name : name + "@" + revision;
    }
}
