# Tests only: a guest driver and a quote service without a TEE. `perl -MFakeTee=FOLDER,READ` takes the place of the calls by which perl reaches them: what
# they are given is written to FOLDER/calls, what they give is read from files in FOLDER. READ is the number of read(2), by which bytes get to an address.
package FakeTee;
use strict;
use warnings;

my ($folder, $read);

sub import { (undef, $folder, $read) = @_ }

sub record {
    open my $calls, '>>', "$folder/calls" or die $!;
    print $calls join(' ', @_), "\n";
}

sub hex_of { return unpack 'H*', $_[0] }

sub at_address {
    my ($address, $bytes) = @_;
    return unpack "P$bytes", pack 'Q', $address;
}

sub put {
    my ($name, $address, $most) = @_;
    open my $file, '<', "$folder/$name" or return;
    syscall($read, fileno($file), $address + 0, $most + 0) >= 0 or die $!;
}

sub failure {
    my ($number) = @_;
    open my $file, '<', sprintf('%s/fail-%x', $folder, $number) or return;
    return split ' ', <$file>;
}

BEGIN {
    *CORE::GLOBAL::ioctl = sub (*$$) {
        my ($number, $order) = @_[1, 2];
        my $hex = sprintf '%x', $number;
        if (my ($error, $exit_info) = failure($number)) {
            record('ioctl', $hex, 'fails');
            substr($_[2], 24, 8) = pack 'Q', $exit_info if defined $exit_info;
            $! = $error;
            return undef;
        }
        if (($number >> 8 & 0xff) == ord 'T') {
            record('ioctl', $hex, hex_of($order));
            open my $file, '<', "$folder/response" or die $!;
            substr($_[2], 64, 1024) = do { local $/; <$file> };
            return '0 but true';
        }
        my ($version, $request, $response, $exit_info) = unpack 'C x7 Q3', $order;
        my $is_extended = ($number & 0xff) == 2;
        my $bytes = at_address($request, $is_extended ? 112 : 96);
        record('ioctl', $hex, length $order, $version, $exit_info, hex_of(substr $bytes, 0, 96));
        put('response', $response, 4000);
        if ($is_extended) {
            my ($address, $length, $padding) = unpack 'x96 Q L L', $bytes;
            record('certificates', $length, $padding);
            put('certificates', $address, $length);
        }
        return '0 but true';
    };
    *CORE::GLOBAL::socket = sub (*$$$) {
        record('socket', @_[1 .. 3]);
        return CORE::socket($_[0], 1, $_[2], 0);
    };
    *CORE::GLOBAL::connect = sub (*$) {
        record('connect', hex_of($_[1]));
        return CORE::connect($_[0], pack 'S a108', 1, "$folder/qgs.sock");
    };
}

1;
