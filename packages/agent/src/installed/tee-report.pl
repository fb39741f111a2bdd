# Asks the guest driver of a TEE for a report by ioctl(2), for which Node has no call. Nothing but perl-base is needed, which every Debian has.
#
#   perl tee-report.pl snp DEVICE          the SNP report, and the certificate table that the host gives along
#   perl tee-report.pl tdx DEVICE PORT     the TDX quote, which the host's quote service at this vsock port makes of the TD report
#
# The 64 bytes to report over come on standard input. Each answer is a line of a name and hex digits; what failed, with exit code 1, a line on standard error.
#
# linux/sev-guest.h, linux/tdx-guest.h, linux/vm_sockets.h; the quote service's messages are those of qgs_msg_lib.h in Intel's DCAP.
use strict;
use warnings;

# _IOWR('S', 0 and 2, 32 bytes), _IOWR('T', 1, 1088 bytes)
my ($SNP_GET_REPORT, $SNP_GET_EXT_REPORT, $TDX_CMD_GET_REPORT0) = (0xC0205300, 0xC0205302, 0xC4405401);
my $REPORT_DATA_BYTES = 64;

# struct snp_report_resp; in it the firmware's answer: status, size, 24 reserved bytes, report.
my ($RESPONSE_BYTES, $RESPONSE_HEAD, $SNP_REPORT_BYTES) = (4000, 32, 1184);
# The most that the driver takes, in whole pages.
my $CERTIFICATE_BYTES = 4 * 4096;

# struct tdx_report_req: report data, then the report.
my $TD_REPORT_BYTES = 1024;
my ($AF_VSOCK, $SOCK_STREAM, $HOST_CID) = (40, 1, 2);
my ($QGS_MAJOR, $QGS_MINOR, $GET_QUOTE_REQUEST, $GET_QUOTE_RESPONSE) = (1, 1, 0, 1);
my ($QUOTE_HEAD_BYTES, $MOST_ANSWER_BYTES) = (24, 1 << 17);
my $ANSWER_SECONDS = 30;

sub fail {
    print STDERR "$_[0]\n";
    exit 1;
}

sub address_of {
    return unpack 'Q', pack 'P', $_[0];
}

sub answer {
    my ($name, $bytes) = @_;
    print "$name ", unpack('H*', $bytes), "\n";
}

sub open_device {
    my ($device) = @_;
    open my $file, '+<', $device or fail("$device cannot be opened: $!");
    return $file;
}

# struct snp_guest_request_ioctl: message version, addresses of request and response, error of firmware or host.
sub snp_request {
    my ($file, $number, $request, $response) = @_;
    my $order = pack 'C x7 Q3', 1, address_of($$request), address_of($$response), 0;
    return undef if defined ioctl($file, $number, $order);
    return sprintf '%s, error 0x%x', $!, unpack 'x24 Q', $order;
}

sub snp {
    my ($device, $report_data) = @_;
    my $file = open_device($device);
    my $certificates = "\0" x $CERTIFICATE_BYTES;
    my $response     = "\0" x $RESPONSE_BYTES;
    # struct snp_ext_report_req: user data, VMPL 0, 28 reserved bytes, address and length of the certificates.
    my $request = pack 'a64 L x28 Q L x4', $report_data, 0, address_of($certificates), $CERTIFICATE_BYTES;
    if (defined snp_request($file, $SNP_GET_EXT_REPORT, \$request, \$response)) {
        # Whatever the host has to give along is a help, and no more: the report alone will do.
        $certificates = '';
        $response     = "\0" x $RESPONSE_BYTES;
        $request      = pack 'a64 L x28', $report_data, 0;
        my $failure = snp_request($file, $SNP_GET_REPORT, \$request, \$response);
        fail("the driver gave no report: $failure") if defined $failure;
    }
    my ($status, $size) = unpack 'L2', $response;
    fail("the firmware gave no report: status $status") if $status != 0;
    fail("the firmware gave a report of $size bytes") if $size != $SNP_REPORT_BYTES;
    answer('report',       substr $response, $RESPONSE_HEAD, $size);
    answer('certificates', $certificates);
}

sub tdx {
    my ($device, $report_data, $port) = @_;
    my $file  = open_device($device);
    my $order = $report_data . "\0" x $TD_REPORT_BYTES;
    defined ioctl($file, $TDX_CMD_GET_REPORT0, $order) or fail("the driver gave no report: $!");
    answer('quote', quote_of(substr($order, $REPORT_DATA_BYTES, $TD_REPORT_BYTES), $port));
}

# Each message has its length before it, big-endian; the rest is little-endian.
sub quote_of {
    my ($report, $port) = @_;
    local $SIG{ALRM} = sub { fail('the quote service did not answer in time') };
    alarm $ANSWER_SECONDS;
    socket(my $service, $AF_VSOCK, $SOCK_STREAM, 0) or fail("this kernel has no vsock: $!");
    # struct sockaddr_vm
    connect($service, pack('S x2 L L x4', $AF_VSOCK, $port, $HOST_CID))
        or fail("no quote service answers at vsock port $port of the host: $!");
    my $length  = $QUOTE_HEAD_BYTES + length $report;
    my $message = pack 'v v V V V V V', $QGS_MAJOR, $QGS_MINOR, $GET_QUOTE_REQUEST, $length, 0, length $report, 0;
    my $words   = pack('N', $length) . $message . $report;
    while ($words ne '') {
        my $written = syswrite $service, $words;
        fail("the quote service hung up: $!") unless defined $written;
        substr $words, 0, $written, '';
    }
    my $size = unpack 'N', exactly($service, 4);
    fail("the quote service answered with $size bytes") if $size < $QUOTE_HEAD_BYTES || $size > $MOST_ANSWER_BYTES;
    my $answer = exactly($service, $size);
    alarm 0;
    my ($major, $type, $error, $id_bytes, $quote_bytes) = unpack 'v x2 V x4 V V V', $answer;
    fail('the quote service speaks another protocol') if $major != $QGS_MAJOR || $type != $GET_QUOTE_RESPONSE;
    fail(sprintf 'the quote service refused: error 0x%x', $error) if $error != 0;
    fail('the quote service gave no whole quote')
        if $quote_bytes == 0 || $QUOTE_HEAD_BYTES + $id_bytes + $quote_bytes != $size;
    return substr $answer, $QUOTE_HEAD_BYTES + $id_bytes, $quote_bytes;
}

sub exactly {
    my ($service, $bytes) = @_;
    my $read = '';
    while (length $read < $bytes) {
        my $more = sysread $service, $read, $bytes - length $read, length $read;
        fail('the quote service hung up') unless $more;
    }
    return $read;
}

binmode STDIN;
my ($tee, @more) = @ARGV;
my $report_data = '';
read STDIN, $report_data, $REPORT_DATA_BYTES + 1;
fail('wanted 64 bytes to report over') if length $report_data != $REPORT_DATA_BYTES;
if    ($tee eq 'snp') { snp($more[0], $report_data) }
elsif ($tee eq 'tdx') { tdx($more[0], $report_data, $more[1]) }
else                  { fail('wanted snp or tdx') }
