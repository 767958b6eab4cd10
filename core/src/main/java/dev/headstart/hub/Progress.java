package dev.headstart.hub;

import java.nio.file.Path;

/** Told what is fetched, from where, how large, and how far it is. Calls may come from several threads; they must return quickly. */
public interface Progress {
    /** Says nothing. */
    Progress NONE = new Progress() {};

    /**
     * One file on its way to this machine.
     *
     * @param what file name, or what is made of which file
     * @param from where it comes from, without credentials: a host, or a Maven repository
     * @param bytes size; -1 when the other side does not say
     * @param folder where it ends up
     */
    record Transfer(String what, String from, long bytes, Path folder) {}

    /** A step that a person may want to know of, one line: a fallback taken, a folder made, a wait. */
    default void note(String line) {}

    /**
     * A transfer starts.
     *
     * @param done bytes that are here already, of an earlier attempt
     */
    default void begin(Transfer transfer, long done) {}

    /** {@code done} bytes of it are here; called many times a second. */
    default void advance(Transfer transfer, long done) {}

    /** It is complete and checked. */
    default void end(Transfer transfer) {}

    /** It broke off; it may begin again. */
    default void failed(Transfer transfer, String why) {}
}
