package dev.headstart.cli;

import dev.headstart.models.Models;
import picocli.CommandLine.Option;

/** Where a model computes: the option of every command that loads one. */
final class DeviceOption {
    @Option(names = "--device", paramLabel = "D", description = "auto (default), cpu, cuda.")
    private String name = "auto";

    /** What was given. @throws dev.headstart.HeadstartException when there is no such device, here or at all */
    String checked() {
        Models.checkDevice(name);
        return name;
    }
}
